"""Real parts for tests: a tiny untrained model, arithmetic problems, and one thread so that sums are the same sums."""

import json
import os
import shutil
from pathlib import Path

# Before torch is imported anywhere: two workers on two cores, and no network to wait for.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest

from rise.config import NanoConfig, RunConfig
from rise.judge import Judgement
from rise.recipe import build_config, merged
from rise.task import Problem
from rise.trajectory import Turn, Verdict

ALPHABET = "0123456789+*=\n#?abcdefghijklmnopqrstuvwxyz .:"
TINY = NanoConfig(hidden=32, layers=2, heads=2, kv_heads=1, intermediate=64, max_length=192)


@pytest.fixture(scope="session")
def nano_dir(tmp_path_factory):
    """An untrained Llama of about 20,000 parameters with a character tokenizer, on disk."""
    from rise.train.nano import make_nano

    path = tmp_path_factory.mktemp("nano") / "model"
    make_nano(TINY, ALPHABET, seed=0, path=path)
    return path


@pytest.fixture(scope="session")
def renderer(nano_dir):
    from rise.render import Renderer

    return Renderer.load(nano_dir)


@pytest.fixture
def one_thread():
    """torch with one thread; whatever a run sets is put back."""
    import torch

    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before[0])
    torch.use_deterministic_algorithms(before[1])


class LastNumber:
    """A judge that can be followed by eye: the last word is the answer, `?` is none."""

    def judge(self, problem, reply):
        answer = reply.split()[-1] if reply.split() else "?"
        if answer == "?":
            return Judgement(Verdict.UNPARSABLE, None)
        return Judgement(Verdict.RIGHT if answer == problem.gold else Verdict.WRONG, answer)

    def same(self, left, right):
        return left == right


@pytest.fixture
def judge():
    return LastNumber()


def problem(name, question="2+2", gold="4", solution=None):
    return Problem(name, question, gold, solution)


def turn(reply, reward, *, source="student", feedback="?", finish="stop", prompt_ids=None, reply_ids=None):
    """A judged turn: reward 1 is right, 0 wrong."""
    verdict = Verdict.RIGHT if reward >= 1 else Verdict.WRONG
    return Turn(
        reply, verdict, float(reward), reply, feedback, source, prompt_ids, reply_ids, finish,
    )  # fmt: skip


def toy_recipe(**overrides) -> RunConfig:
    """The whole method in a few seconds: sums of two digits, a model of 20,000 parameters, two rounds.

    The boost is long enough for a few right answers, so that every kind of record occurs.
    """
    from rise.recipe import merged

    train = {"epochs": 24, "batch_size": 16, "learning_rate": 1e-2, "line_length": 96, "micro_batch_tokens": 2048}
    data = {
        "name": "toy",
        "deterministic": True,
        "threads": 1,
        "batch_size": 16,
        "task": {
            "name": "arithmetic",
            "n_train": 12,
            "n_validation": 6,
            "n_test": 6,
            "settings": {"kinds": {"sum": 1}, "sum_terms": 2, "sum_digits": 1},
        },
        "model": {"nano": TINY.model_dump()},
        "state": {"feedback": "neutral", "feedback_text": "?", "window": 1},
        "sampling": {"max_new_tokens": 12},
        "boost": {
            "enabled": True,
            "n_problems": 24,
            "disjoint": False,
            "train": train,
            "train_multi_turn": {**train, "epochs": 4},
        },
        "rollout": {"stop_when_right": False},
        "relabel": {"improver": "self", "n_samples": 3, "states": "every", "relabel_right": "keep"},
        "train": {**train, "epochs": 1, "save_steps": 2},
        "evaluate": {"turns": 3, "samples": 2, "controls": "last"},
        "iterate": {"rounds": 2},
    }
    return build_config(merged(data, overrides))


@pytest.fixture(scope="session")
def toy_run(tmp_path_factory):
    """A finished run of the toy recipe. Copy it before you change anything."""
    from rise.iterate import run

    return run(toy_recipe(), tmp_path_factory.mktemp("toy") / "run", command=["rise", "run", "toy"])


needs_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting a tiny disk needs root")


@pytest.fixture
def untrained(monkeypatch):
    """Training that only copies its start, and remembers it: for tests of what happens around it."""
    calls = []

    def train(examples, start, out, config, **kwargs):
        shutil.copytree(start, out)
        calls.append((out.parent.name, Path(start).parent.name, list(examples)))
        return {}

    monkeypatch.setattr("rise.train.train", train)
    return calls


def small(**overrides):
    """One round from the untrained base, with two problems."""
    task = {"n_train": 2, "n_validation": 2, "n_test": 2}
    return toy_recipe(**merged({"boost": {"enabled": False}, "task": task, "iterate": {"rounds": 1}}, overrides))


def files(path):
    """Every file below a directory, by its relative name."""
    return {str(p.relative_to(path)): p.read_bytes() for p in sorted(Path(path).rglob("*")) if p.is_file()}


def write(path, rows):
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n")
    return path


@pytest.fixture
def data(tmp_path):
    """Made-up rows in the three original formats."""
    gsm8k = [
        {
            "question": f"Ann has {i} pens and buys 2. How many?",
            "answer": f"She has {i}+2=<<{i}+2={i + 2}>>{i + 2}.\n#### {i + 2:,}",
        }
        for i in range(1000, 1100)
    ]
    math = [
        {
            "problem": f"Halve ${i}$.",
            "level": f"Level {i % 5 + 1}",
            "type": "Algebra",
            "solution": rf"$\boxed{{\frac{{{i}}}{{2}}}}$",
        }
        for i in range(50)
    ]
    for name, rows in (("gsm8k", gsm8k), ("math", math)):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "test.jsonl", rows[:20])
        write(tmp_path / name / "train.jsonl", rows[20:])
    svamp = [
        {
            "ID": "1",
            "Body": "If each pen costs 3 dollars",
            "Question": "What do 2 cost?",
            "Equation": "",
            "Answer": 6.0,
            "Type": "Multiplication",
        }
    ]
    (tmp_path / "svamp").mkdir()
    (tmp_path / "svamp" / "svamp.json").write_text(json.dumps(svamp))
    return tmp_path
