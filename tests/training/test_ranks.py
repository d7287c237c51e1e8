"""Several processes: the step of one, through the library, the command line and a launcher; settings for many GPUs parse."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from toys import toy_recipe
from training import close, examples, known, loss_and_gradient, one_step, weights_of

from rise.dataset.losses import LOSSES
from rise.errors import ConfigError, RiseError
from rise.jsonl import write_jsonl
from rise.recipe.config import TrainConfig
from rise.recipe.toml import to_toml
from rise.training import train
from rise.trajectory import to_json

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]
TWO = ["--nproc-per-node", "2", "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
ACCELERATE = Path(__file__).parents[2] / "recipes" / "accelerate"


@pytest.fixture(scope="module")
def data(renderer):
    return examples(renderer)


def torchrun(*command):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    whole = [sys.executable, "-m", "torch.distributed.run", *TWO, *map(str, command)]
    return subprocess.run(whole, capture_output=True, text=True, timeout=1200, env=environment)


def test_two_ranks_make_the_step_of_one(data, nano_dir, tmp_path):
    """gloo on one machine. 14 examples over 2 ranks in several batches, an odd number, so some rank gets an empty one."""
    cut = {"micro_batch_tokens": 64, "line_length": 32}
    runs = [{"per": "token", **cut}, {"per": "sequence", **cut}, {"per": "token", "batch_size": 1, **cut}]
    alone = [loss_and_gradient(data, nano_dir, tmp_path / str(i), **run) for i, run in enumerate(runs)]
    for name in LOSSES:
        run = {"per": "sequence", "loss": {"name": name}, **cut}
        alone.append(loss_and_gradient(known(data), nano_dir, tmp_path / name, **run))
        runs.append({**run, "known": True})
    done = torchrun(Path(__file__).parents[1] / "support" / "training.py", nano_dir, tmp_path / "both", json.dumps(runs))
    assert done.returncode == 0, done.stderr[-3000:]
    before = weights_of(nano_dir)
    for number, (loss, gradient) in enumerate(alone):
        facts = json.loads((tmp_path / "both" / str(number) / "facts.json").read_text())
        after = weights_of(tmp_path / "both" / str(number))
        assert facts["loss"] == pytest.approx(loss, abs=1e-5)
        assert close({name: before[name] - after[name] for name in before}, gradient, 1e-5)
    logs = []
    train(data, nano_dir, tmp_path / "log", one_step(**cut), on_log=logs.append)
    facts = json.loads((tmp_path / "both" / "0" / "facts.json").read_text())
    assert facts["loss_plain"] == pytest.approx(logs[0]["loss_plain"], abs=1e-5)  # of both ranks, not of the first


def test_rise_train_under_torchrun_writes_one_checkpoint_and_says_so_once(data, nano_dir, tmp_path):
    config = toy_recipe(train={**one_step(micro_batch_tokens=64, line_length=32).model_dump(exclude_none=True), "epochs": 1})
    (tmp_path / "recipe.toml").write_text(to_toml(config))
    write_jsonl(tmp_path / "examples.jsonl", (to_json(e) for e in data))
    out = tmp_path / "out"
    files = ["--examples", tmp_path / "examples.jsonl", "--start", nano_dir, "--out", out]
    done = torchrun("-m", "--", "rise.cli.main", "train", tmp_path / "recipe.toml", *files)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("1 steps on 14 examples") == done.stdout.count("out: train") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["examples.jsonl", "out", "recipe.toml"]
    train(data, nano_dir, tmp_path / "alone", one_step(micro_batch_tokens=64, line_length=32))
    assert close(weights_of(out), weights_of(tmp_path / "alone"), 1e-5)


def test_a_run_starts_its_trainings_under_the_launcher_of_the_recipe(data, nano_dir, tmp_path):
    settings = {"micro_batch_tokens": 64, "line_length": 32, "arguments": {"logging_steps": 1}}
    logs = []
    two = one_step(launcher=" ".join(["torchrun", *TWO]), **settings)
    facts = train(data, nano_dir, tmp_path / "two", two, on_log=logs.append, card={"task": "arithmetic"})
    alone = train(data, nano_dir, tmp_path / "one", one_step(**settings))
    assert facts["n_rows"] == alone["n_rows"] and facts["accumulation"] < alone["accumulation"]
    assert [log["step"] for log in logs] == [1] and logs[0]["steps"] == 1
    assert close(weights_of(tmp_path / "two"), weights_of(tmp_path / "one"), 1e-5)
    assert json.loads((tmp_path / "two" / "rise.json").read_text())["task"] == "arithmetic"


def test_a_launcher_that_fails_says_why(data, nano_dir, tmp_path):
    with pytest.raises(ConfigError, match=r"no-such-launcher.*cannot be started"):
        train(data, nano_dir, tmp_path / "out", TrainConfig(launcher="no-such-launcher -n 2"))
    with pytest.raises(RiseError, match=r"ended with code 3:\nmissing switch"):
        train(data, nano_dir, tmp_path / "out", TrainConfig(launcher=f"{sys.executable} -c \"print('missing switch'); exit(3)\""))


@pytest.mark.parametrize("name", ["ddp", "fsdp2", "deepspeed-zero3"])
def test_a_shipped_configuration_is_one_that_accelerate_reads_and_launches(name):
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser

    file = ACCELERATE / f"{name}.yaml"
    config = load_config_from_file(str(file))
    kind = {"ddp": "MULTI_GPU", "fsdp2": "FSDP", "deepspeed-zero3": "DEEPSPEED"}[name]
    assert config.distributed_type.value == kind
    assert (config.fsdp_config or {}).get("fsdp_version") == (2 if name == "fsdp2" else None)
    assert (config.deepspeed_config or {}).get("zero_stage") == (3 if name == "deepspeed-zero3" else None)
    if name != "deepspeed-zero3":  # that one asks whether deepspeed is installed
        given = launch_command_parser().parse_args(["--config_file", str(file), "-m", "rise.cli.main", "train"])
        given, _, _ = _validate_launch_command(given)
        assert given.use_fsdp is (name == "fsdp2") and given.num_processes == config.num_processes
    commands = [line for line in file.read_text().splitlines() if "accelerate launch" in line]
    assert commands and all(f"recipes/accelerate/{name}.yaml" in line for line in commands)
