"""A run directory written by hand, so that a report's numbers can be checked on paper.

A problem is a pattern: one letter a reply, r right, w wrong, u without an answer. "wrrrr" was fixed at turn 2.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from rise.dataset.build import Example
from rise.dataset.report import dataset_report
from rise.evaluation.analyses import analyse
from rise.evaluation.held_out import HeldOut
from rise.evaluation.metrics import by_fields, measure, paired_stages
from rise.jsonl import dumps
from rise.runs.directory import RunDir
from rise.trajectory import Turn, Verdict, to_json

VERDICTS = {"r": Verdict.RIGHT, "w": Verdict.WRONG, "u": Verdict.UNPARSABLE}
FEEDBACK = "That answer is incorrect. Please try once more."
HOSTILE = "<script>alert('x')</script> \x1b[31m & [bold]{{ 7*7 }} |"

Patterns = Sequence[tuple[str, str, str]]
"""(run, further samples, turns 2… of the control), one per problem."""

ROUND_1: Patterns = [
    ("rrrrr", "rrrr", "rrrr"),  # kept
    ("rrrrr", "wrrr", "wwww"),  # kept
    ("wrrrr", "wrww", "wwww"),  # fixed
    ("wwrrr", "wwww", "wwww"),  # fixed
    ("rwrrr", "rrrw", "rwww"),  # wavered
    ("rrwww", "rwww", "wwww"),  # broken
    ("wwwww", "wwwr", "wwww"),  # never
    ("uuwww", "uwww", "uwww"),  # never
]
"""Right at turn 1: 4 of 8. Right at turn 5: 5 of 8 (problems 1 to 5)."""

BOOST: Patterns = [("rrrrr", "rrrr", "rrrr"), *[("wwwww", "wwww", "wwww")] * 7]


def same(left: str, right: str) -> bool:
    return left == right


def turn(letter: str, k: int, gold: str = "42", *, last: bool = False, n_prompt: int = 10) -> Turn:
    """Wrong answers differ from turn to turn, so that they never win a vote together."""
    answer = {"r": gold, "w": f"{90 + k}", "u": None}[letter]
    return Turn(
        reply="I cannot say" if answer is None else f"6*7\n={answer}",
        verdict=VERDICTS[letter],
        reward=float(letter == "r"),
        answer=answer,
        feedback=None if last else FEEDBACK,
        finish="stop",
        n_prompt_tokens=n_prompt,
        n_reply_tokens=6,
    )


def held_out(index: int, pattern: tuple[str, str, str], question: str = "6*7=?") -> HeldOut:
    run, samples, other = pattern
    return HeldOut(
        problem_id=f"p{index:04d}",
        question=question,
        gold="42",
        run=tuple(turn(letter, k, last=k == len(run) - 1, n_prompt=30 if k else 10) for k, letter in enumerate(run)),
        samples=tuple(turn(letter, 10 + k, last=True) for k, letter in enumerate(samples)),
        other=tuple(turn(letter, 20 + k, last=True, n_prompt=30) for k, letter in enumerate(other)),
        fields={"kind": ("product", "sum")[index % 2]},
    )


def example(source: str, reward: float, weight: float) -> Example:
    """One of seven trained tokens."""
    verdict = Verdict.RIGHT if reward else Verdict.WRONG
    return Example("p0000", 0, (), "6*7\n=42", source, reward, weight, (3, 4), (1,) * 7, verdict=verdict)


# Weights 1, 1 and 12.18 scaled to mean one; (Σw)² ÷ Σw² = 14.18² ÷ 150.4 = 1.34.
EXAMPLES = [example("student", 0.0, 0.2115), example("student", 0.0, 0.2115), example("gold", 1.0, 2.577)]
DATASET = dataset_report(
    EXAMPLES,
    Counter({"cut at the token limit": 4, "repeat of the same reply": 1}),
    Counter({"problems with one judged reply": 2}),
).to_json()

CONFIG = """name = "toy"
seed = 7

[model.nano]
hidden = 8

[boost]
enabled = true
also_one_turn = false

[iterate]
rounds = 2
"""


def write_run(
    path: Path,
    stages: Mapping[str, Patterns] | None = None,
    *,
    config: str = CONFIG,
    hostile: bool = False,
    with_log: bool = True,
    truthful: bool = False,
) -> RunDir:
    """Stages in the order they ran, each with records, metrics and, but for the base, a data set."""
    run = RunDir(path)
    path.mkdir(parents=True)
    run.config.write_text(config, encoding="utf-8")
    provenance = {
        "rise": "0.1.0",
        "commit": "0123456789abcdef",
        "clean": True,
        "command": ["/somewhere/bin/rise", "run", "recipes/nano.toml"],
        "python": "3.11.9",
        "machine": "Linux x86_64",
        "cpu_count": 2,
        "versions": {"torch": "2.13.0", "peft": None},
        "seed": 7,
        "started": "2025-01-02T03:04:05Z",
    }
    run.provenance.write_text(json.dumps(provenance), encoding="utf-8")
    previous: list[HeldOut] = []
    before = ""
    for name, patterns in (stages or {"boost": BOOST, "round-1": ROUND_1}).items():
        stage = run.stage(name)
        stage.path.mkdir()
        records = [held_out(i, pattern, HOSTILE if hostile else "6*7=?") for i, pattern in enumerate(patterns)]
        stage.held_out.write_text("".join(dumps(to_json(r)) + "\n" for r in records), encoding="utf-8")
        told = {"truthful": True, "turns": 5} if truthful else {}
        metrics = measure(records, same, **told) | analyse(records, 5, truthful)
        metrics |= {"stage": name, "by_field": by_fields(records, same, **told)}
        if previous:
            metrics["paired"]["previous"] = paired_stages(previous, records, same, **told)
            metrics["previous"] = before
            metrics["paired"]["before_rounds"], metrics["before_rounds"] = metrics["paired"]["previous"], before
        stage.metrics.write_text(json.dumps(metrics), encoding="utf-8")
        previous, before = records, name
        if name != "base":
            stage.dataset.write_text(json.dumps(DATASET), encoding="utf-8")
        if with_log:
            for part, seconds in (("rollout", 12.0), ("train", 60.0), ("evaluate", 3.5)):
                run.write_log(stage=name, part=part, seconds=seconds, n_replies=100, n_prompt_tokens=3000, n_reply_tokens=600)
            for step in range(1, 41):
                loss = 2.0 / step
                run.write_log(
                    stage=name, step=step, loss=loss, loss_plain=loss, grad_norm=1.0, learning_rate=1e-3, tokens_per_s=5e3
                )
    return run


def rows(table):
    """A report's table by the text of its first column."""
    return {row[0].text: row[1:] for row in table.rows}
