"""Real parts for tests: arithmetic problems, a judge that can be followed by eye, recipes that run in seconds."""

import json
import os
from pathlib import Path

import pytest

from rise.judge import Judge, Judgement
from rise.recipe.config import RunConfig
from rise.recipe.machines import NanoConfig
from rise.recipe.toml import build_config, merged
from rise.task import Problem
from rise.trajectory import Turn, Verdict

ALPHABET = "0123456789+*=\n#?abcdefghijklmnopqrstuvwxyz .:"
TINY = NanoConfig(hidden=32, layers=2, heads=2, kv_heads=1, intermediate=64, max_length=192)


class LastNumber(Judge):
    """A judge that can be followed by eye: the last word is the answer, `?` is none."""

    def judge(self, problem, reply):
        answer = reply.split()[-1] if reply.split() else "?"
        if answer == "?":
            return Judgement(Verdict.UNPARSABLE, None)
        return Judgement(Verdict.RIGHT if answer == problem.gold else Verdict.WRONG, answer)

    def same(self, left, right):
        return left == right


def problem(name, question="2+2", gold="4", solution=None):
    return Problem(question, gold, solution=solution, id=name)


def turn(reply, reward, *, source="student", feedback="?", finish="stop", prompt_ids=None, reply_ids=None):
    """A judged turn: reward 1 is right, 0 wrong."""
    verdict = Verdict.RIGHT if reward >= 1 else Verdict.WRONG
    return Turn(
        reply,
        verdict,
        float(reward),
        reply,
        feedback,
        source,
        prompt_ids,
        reply_ids,
        finish,
    )


def toy_recipe(**overrides) -> RunConfig:
    """The whole method in a few seconds: sums of two digits, a model of 20,000 parameters, two rounds.

    The boost is long enough for a few right answers, so that every kind of record occurs.
    """
    from rise.recipe.toml import merged

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
        "iterate": {"rounds": 2, "allow_no_right": True},  # a model trained for seconds is rarely right
    }
    return build_config(merged(data, overrides))


needs_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting a tiny disk needs root")


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


SMALLER = ["task.n_train=16", "task.n_test=8", "boost.n_problems=64", "evaluate.turns=3", "sampling.max_new_tokens=40"]
"""A toy on two busy cores takes a minute; of this, a third is enough to see that it runs."""
SMALLER_STILL = [
    *["task.n_train=6", "task.n_validation=4", "task.n_test=6", "train.epochs=1"],
    *["evaluate.n_rates=4", "evaluate.turns=3", "evaluate.samples=3"],
]
"""The same of a recipe whose base comes with rise, which is a real model: its replies keep their length."""
