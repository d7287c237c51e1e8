"""reasoning-core itself, through reasoning-gym's registry."""

import pytest

from rise.errors import ConfigError
from rise.tasks import make_task


def test_its_generators_and_scorers_are_reasoning_gyms(core_python):
    with pytest.raises(ConfigError, match="unknown generator in 'reasoning-core:nothing'") as error:
        make_task("reasoning-core:nothing", python=core_python)
    assert "Valid" in str(error.value) or "Did you mean" in str(error.value)
    task = make_task("reasoning-core:arithmetics", python=core_python, pool=64)
    problem = task.problems("train", 3)[2]
    judge = task.judge()
    assert judge.judge(problem, f"<answer>{problem.gold}</answer>").verdict.value == "right"
    assert judge.judge(problem, "<answer>no idea</answer>").verdict.value == "wrong"
    assert make_task("reasoning-core:arithmetics", python=core_python, pool=64).problems("train", 3)[2] == problem
