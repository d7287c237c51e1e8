#!/usr/bin/env bash
# One run on machines of a SLURM cluster: sbatch recipes/cluster/slurm.sh
# Start it in a folder that every machine sees, with rise in .venv and, for vLLM, .venv-vllm. A job that is cut off by its time
# limit continues where it was when it is submitted again.
#SBATCH --job-name=rise
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=08:00:00
#SBATCH --signal=B:INT@120
set -euo pipefail
ray=.venv/bin/ray
port=$((20000 + SLURM_JOB_ID % 20000))   # other jobs may share a machine
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address | awk '{print $1}'):$port
# Who may join, since others are in this network: every process of the job shows this token.
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN=${RAY_AUTH_TOKEN:-$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')}

srun --nodes=1 --ntasks=1 --overlap --nodelist="$head" \
  "$ray" start --head --node-ip-address="${address%:*}" --port="$port" --num-gpus=8 --disable-usage-stats --block &
until (exec 3<>"/dev/tcp/${address%:*}/$port") 2>/dev/null; do sleep 1; done
if ((SLURM_JOB_NUM_NODES > 1)); then
  srun --nodes=$((SLURM_JOB_NUM_NODES - 1)) --ntasks=$((SLURM_JOB_NUM_NODES - 1)) --overlap --exclude="$head" \
    "$ray" start --address="$address" --num-gpus=8 --disable-usage-stats --block &
fi

gpus=$((8 * SLURM_JOB_NUM_NODES))
rise=(.venv/bin/rise run recipes/paper/llama-3-8b-instruct.toml --scale math,lora --cluster "$address" --out runs/llama-3-8b
  --set engine.kind=vllm --set cluster.gpus_per_replica=1 --set cluster.replicas="$gpus"
  --set cluster.workers="$gpus" --set cluster.gpus_per_worker=1)
# SLURM's warning before the limit (--signal) becomes Ctrl-C: everything is given back, everything finished is on disk.
srun --nodes=1 --ntasks=1 --overlap --nodelist="$head" "${rise[@]}" &
run=$!
trap 'kill -INT $run' INT
code=0
wait $run || code=$?
kill $(jobs -p) 2>/dev/null || true
exit $code
