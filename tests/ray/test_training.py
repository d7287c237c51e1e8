"""Training by Ray Train: the same trainer, started again after a loss, continued by another number of workers."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import toys
from ray_helpers import kill
from safetensors.torch import load_file

from rise.cluster.cluster import Cluster
from rise.dataset.example import Example
from rise.errors import RiseError
from rise.play.render import Renderer
from rise.recipe.config import TrainConfig
from rise.training import train
from rise.trajectory import Message

N_STEPS, SAVED_EVERY = 24, 4


def recipe(**cluster):
    return toys.small(deterministic=False, threads=1, cluster={"workers": 2, **cluster})


def training(**more):
    data = {
        "epochs": 6,
        "batch_size": 8,
        "learning_rate": 1e-3,
        "line_length": 96,
        "micro_batch_tokens": 512,
        "save_steps": SAVED_EVERY,
        "arguments": {"logging_steps": 1},
    }
    return TrainConfig(**{**data, **more})


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    from rise.training.nano import make_nano

    path = tmp_path_factory.mktemp("model") / "model"
    make_nano(toys.TINY, toys.ALPHABET, seed=0, path=path)
    return path


@pytest.fixture(scope="module")
def examples(model):
    renderer = Renderer.load(model)
    out = []
    for i in range(32):
        messages = (Message("user", f"{i}+{i + 2}"),)
        reply = f"#{2 * i + 2}"
        out.append(
            Example(
                f"p{i}",
                0,
                messages,
                reply,
                "student",
                1.0,
                0.5 + i % 3,
                prompt_ids=renderer.prompt_ids(messages),
                reply_ids=renderer.reply_ids(messages, reply),
            )
        )
    return out


@pytest.fixture(scope="module")
def alone(model, examples, tmp_path_factory):
    """The checkpoint of one process that nobody disturbed."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("alone") / "round-1" / "checkpoint"
    facts = train(examples, model, out, training(), model=recipe().model, seed=0)
    assert facts["n_steps"] == N_STEPS
    return load_file(out / "model.safetensors")


def close_to(alone, checkpoint):
    """Float sums in another order, through 24 steps of AdamW."""
    found = load_file(Path(checkpoint) / "model.safetensors")
    assert found.keys() == alone.keys()
    assert max(float((found[name] - alone[name]).abs().max()) for name in alone) < 2e-3


class Training:
    """One training on the cluster whose log lines are kept, and may be answered."""

    def __init__(self, directory, model, examples, config=None, **cluster):
        self.stage = directory / "round-1"
        self.stage.mkdir(parents=True, exist_ok=True)
        self.directory, self.model, self.examples = directory, model, examples
        self.config = config or training()
        self.cluster = Cluster(recipe(**cluster), directory)
        self.steps = []

    def run(self, answer=lambda logs: None):
        def on_log(logs):
            self.steps.append(logs["step"])
            answer(logs)

        return self.cluster.train(
            self.examples,
            self.model,
            self.stage / "checkpoint",
            self.config,
            card=None,
            work=self.stage / "training",
            on_log=on_log,
        )

    def pids(self):
        """Of the workers, newest last, by what they have printed."""
        return [
            int(pid)
            for log in sorted((self.directory / "logs").glob("worker-*.log"))
            for pid in re.findall(r"process (\d+)", log.read_text())
        ]


def test_two_workers_end_where_one_process_does(two_nodes, model, examples, alone, tmp_path):
    one = Training(tmp_path, model, examples)
    facts = one.run()
    assert (facts["processes"], facts["n_steps"]) == (2, N_STEPS)
    close_to(alone, one.stage / "checkpoint")
    assert not (one.stage / "training").exists()
    assert one.steps == list(range(1, N_STEPS + 1))


def test_a_worker_killed_is_started_again_and_training_continues_from_its_last_checkpoint(
    two_nodes, model, examples, alone, tmp_path
):
    one = Training(tmp_path, model, examples)
    killed = []

    def murder(logs):
        if logs["step"] == 2 * SAVED_EVERY + 2 and not killed:
            killed.append(one.pids()[-1])
            kill(killed[0])

    facts = one.run(murder)
    assert facts["processes"] == 2
    again = next(b for a, b in zip(one.steps, one.steps[1:], strict=False) if b <= a)
    assert again >= SAVED_EVERY + 1 and (again - 1) % SAVED_EVERY == 0, "not from a checkpoint"
    close_to(alone, one.stage / "checkpoint")


def test_the_events_of_workers_are_kept_on_the_drivers_node(two_nodes):
    import ray

    from rise.cluster.training import _queue

    here = ray.get_runtime_context().get_node_id()
    queues = [_queue() for _ in range(6)]  # Ray would spread them
    where = ray.get([q.actor.__ray_call__.remote(lambda _: ray.get_runtime_context().get_node_id()) for q in queues])
    for queue in queues:
        queue.shutdown(force=True)
    assert set(where) == {here}


def test_elastic_training_goes_on_with_the_node_that_is_left(two_nodes, model, examples, alone, tmp_path, monkeypatch):
    # Where the loss is not noticed at once, Ray Train first waits so long for two workers again.
    monkeypatch.setenv("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "120")
    one = Training(tmp_path, model, examples, min_workers=1)
    lost = []

    def unplug(logs):
        if logs["step"] == 2 * SAVED_EVERY + 2 and not lost:
            lost.append(two_nodes.worker_nodes.copy().pop())
            two_nodes.remove_node(lost[0], allow_graceful=False)

    facts = one.run(unplug)
    assert facts["processes"] == 1
    close_to(alone, one.stage / "checkpoint")


def test_where_nodes_share_nothing_checkpoints_go_through_the_storage(two_nodes, model, examples, alone, tmp_path):
    one = Training(tmp_path / "run", model, examples, storage=(tmp_path / "storage").as_uri())
    (tmp_path / "storage").mkdir()
    seen = []

    def interrupt(logs):
        if logs["step"] == 2 * SAVED_EVERY + 2 and not seen:
            seen.append(logs["step"])
            raise RiseError("the driver goes away")

    with pytest.raises(RiseError, match="goes away"):
        one.run(interrupt)
    settle(one)
    assert not (one.stage / "checkpoint").exists()
    first = len(one.steps)
    one.run()
    assert one.steps[first] > SAVED_EVERY, "begun anew"
    close_to(alone, one.stage / "checkpoint")


def settle(one):
    """Wait until the workers of a training whose driver lost interest are gone."""
    import ray
    from ray_helpers import wait_until

    wait_until(lambda: ray.available_resources().get("CPU", 0) == 2, "an end of the workers")


def test_a_setting_that_cannot_be_is_said_once_in_our_words(two_nodes, model, examples, tmp_path):
    one = Training(tmp_path, model, [replace(example, weight=0.0) for example in examples])
    with pytest.raises(RiseError, match="no example to train on"):
        one.run()
    settle(one)


def test_unfinished_training_of_other_data_is_refused(two_nodes, model, examples, tmp_path):
    work = tmp_path / "round-1" / "training"
    (work / "checkpoint-1").mkdir(parents=True)
    (work / "settings.json").write_text(json.dumps({"examples": "1, hash 000000000000", "processes": 1}))
    with pytest.raises(RiseError, match="begun otherwise"):
        Training(tmp_path, model, examples).run()
