"""kill -9 where the methods after RISE do what RISE does not: the scoring of log-probabilities, verdicts, gains, pairs. The same
command goes on, and its files are byte for byte those of a run that nobody disturbed."""

import signal

import pytest
from test_kill import Whole, server  # noqa: F401

from rise.recipe.toml import merged

pytestmark = pytest.mark.slow

SMALLEST = {
    "task": {"n_train": 4, "n_validation": 2, "n_test": 2},
    "boost": {"enabled": False},
    "evaluate": {"turns": 2, "controls": "none"},
}

RL = {
    "rollout": {"n_trajectories": 3, "turns": 2, "stop_when_right": False},
    "relabel": {"improver": "none", "relabel_right": "skip"},
    "weigh": {"scale": "raw"},
    "train": {"loss": {"name": "policy-gradient", "kl": "k2"}},
}
METHODS = {
    "SCoRe": RL | {"advantage": {"gamma": 0.0, "progress": 10.0, "kl": 0.01, "hold_rounds": 1, "hold_kl": 0.1}},
    "distil": {"relabel": {"relabel_right": "keep"}, "distil": {"shown": "attempt"}},
    "verify": {"state": {"verify": {"ask": "#", "right": "y", "wrong": "n", "max_new_tokens": 2}}, "evaluate": {"play_on": True}},
    "internalise": {"dataset": {"internalise": "also", "internalise_weight": "gain", "internalise_share": 0.5}},
    "dpo": {
        "relabel": {"improver": "gold"},  # pairs need right replies
        "train": {"dpo": {"pairs": "both"}, "save_steps": 0},
    },
}
MOMENTS = {
    "scored and not in place": ("replace", "round-1/examples.jsonl", "before"),
    "trained and not in place": ("replace", "round-2/checkpoint", "before"),
}


@pytest.mark.parametrize("method", METHODS)
def test_killed_at(method, server, tmp_path):  # noqa: F811
    if method == "dpo":
        pytest.importorskip("trl")
    overrides = merged(SMALLEST, METHODS[method])
    whole = Whole(server, tmp_path / "whole", overrides=overrides)
    for i, (kind, name, when) in enumerate(MOMENTS.values()):
        out = tmp_path / f"run-{i}"
        at = whole.number(kind, name)
        assert server.run(out, at=at, when=when, overrides=overrides)["code"] == -signal.SIGKILL
        server.finish(out, overrides=overrides)
        whole.equals(out)
