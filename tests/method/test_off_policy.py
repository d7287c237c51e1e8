"""Data that the student did not make: another policy's turns, and errors that nobody made."""

import json

import pytest
from toys import small

from rise.errors import RiseError
from rise.method.iterate import run
from rise.runs.dry_run import dry_run
from rise.runs.preflight import preflight
from rise.trajectory import read_relabelled, read_trajectories

pytestmark = pytest.mark.usefixtures("one_thread")


def test_injected_attempts_are_solutions_with_one_digit_changed_and_the_student_improves_them(tmp_path):
    config = small(rollout={"policy": "injected"}, keep={"trained_turns": "last"}, relabel={"relabel_right": "skip"})
    stage = run(config, tmp_path / "run").stage("round-1")
    solutions = {p.id: p.solution for p in preflight(config).problems(1)}
    found = list(read_trajectories(stage.trajectories))
    assert {t.problem_id for t in found} == set(solutions)
    for trajectory in found:
        for turn in trajectory.turns:
            solution = solutions[trajectory.problem_id]
            assert sum(a != b for a, b in zip(turn.reply, solution, strict=True)) == 1
            assert not turn.right and turn.source == "injected" and turn.feedback
    assert {turn.source for item in read_relabelled(stage.relabelled) for turn in item.candidates} == {"self"}


def test_another_policy_takes_the_turns_and_the_dry_run_says_so(tmp_path):
    script = tmp_path / "script.json"
    script.write_text(json.dumps({p.question: ["=0"] for p in preflight(small()).problems(1)}))
    config = small(rollout={"policy": f"scripted:{script}"})
    assert any(f"of scripted:{script} on each" in line for line in dry_run(config)[0])
    stage = run(config, tmp_path / "run").stage("round-1")
    assert {turn.reply for t in read_trajectories(stage.trajectories) for turn in t.turns} == {"=0"}


def test_a_policy_that_is_nowhere_is_refused_by_the_name_of_its_setting(tmp_path):
    with pytest.raises(RiseError, match=r"rollout\.policy"):
        preflight(small(rollout={"policy": f"local:{tmp_path / 'nowhere'}"}))
