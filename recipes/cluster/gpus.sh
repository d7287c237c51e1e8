#!/usr/bin/env bash
# Llama-3-8B on a cluster of GPUs that this machine is a node of: one vLLM replica a GPU, all GPUs train with LoRA.
# Start it where every node sees the folder. The same command continues a run that was stopped.
set -euo pipefail
gpus=${GPUS:-32}
exec rise run rise/recipes/paper/llama-3-8b-instruct.toml --scale math,lora --cluster auto --out runs/llama-3-8b \
  --set engine.kind=vllm --set engine.python=rise/.venv-vllm/bin/python \
  --set cluster.replicas="$gpus" --set cluster.min_replicas="$((gpus / 2))" --set cluster.gpus_per_replica=1 \
  --set cluster.cpus_per_replica=4 --set cluster.workers="$gpus" --set cluster.gpus_per_worker=1 --set cluster.cpus_per_worker=4
