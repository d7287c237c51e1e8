"""A run for the viewer's tests: what `synthetic_run` writes, and the files of a round beside it."""

from __future__ import annotations

from pathlib import Path

from synthetic_run import HOSTILE, held_out, turn, write_run

from rise.dataset.example import Example
from rise.jsonl import write_jsonl
from rise.runs.directory import RunDir
from rise.trajectory import Message, Relabelled, Trajectory, Verdict, to_json

MARKUP = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script></script><!--"
"""Would rename the page if any of it were ever parsed."""


def write_viewed(path: Path, *, hostile: bool = False) -> RunDir:
    """Boost and round 1 measured; round 1 also has trajectories, improved replies and examples of its first two problems."""
    run = write_run(path, hostile=hostile)
    stage = run.stage("round-1")
    question = f"{HOSTILE}{MARKUP}" if hostile else "6*7=?"
    trajectories = [
        Trajectory("p0000", question, "42", (turn("w", 0), turn("w", 1, last=True)), {"kind": "product"}),
        Trajectory("p0001", "2+3", "5", (turn("w", 0, "5"), turn("r", 1, "5", last=True)), {"kind": "sum"}),
    ]
    write_jsonl(stage.trajectories, (to_json(t) for t in trajectories))
    candidates = (turn("w", 3, last=True), turn("r", 4, last=True))
    write_jsonl(stage.relabelled, [to_json(Relabelled("p0000", 2, candidates, 1))])
    prompt = (Message("user", question), Message("assistant", "6*7\n=90"), Message("user", "?"))
    examples = [
        Example("p0000", 1, prompt, "6*7\n=42", "self", 1.0, 2.577, (3, 4), (5, 2), verdict=Verdict.RIGHT),
        Example(
            "p0000", 0, prompt[:1], f"=90{MARKUP if hostile else ''}", "student", 0.0, 0.2115, (3,), (6,), verdict=Verdict.WRONG
        ),
    ]
    write_jsonl(stage.examples, (to_json(e) for e in examples))
    if hostile:
        # A judge of one's own: answers group by their text. Ours would look at the markup as mathematics, for seconds.
        run.config.write_text(run.config.read_text() + '\n[task.settings]\njudge_path = "mine:Judge"\n', encoding="utf-8")
        rows = [held_out(k, ("wr", "r", "w"), f"{question} {k}") for k in range(3)]
        rows = [to_json(row) for row in rows]
        for row in rows:
            for t in row["run"]:
                t |= {"reply": f"{MARKUP} {t['answer']}", "feedback": MARKUP}
            row["run"][0]["answer"] = MARKUP
            row["fields"] = {"kind": MARKUP, "note\u202e": "</script>"}
        write_jsonl(stage.held_out, rows)
    return run
