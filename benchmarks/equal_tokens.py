"""The vote over turns against a vote over as many parallel samples as cost the same tokens, prompts included.

    rise evaluate RUN/round-2/checkpoint --turns 1 --samples 16 -n 1000 --out SAMPLES
    python benchmarks/equal_tokens.py RUN SAMPLES

RUN is a run (its last stage), SAMPLES what `rise evaluate --out` wrote of its last checkpoint on the same problems, with enough
samples. Also: how often a wrong reply is followed by a right one, beside how often a fresh sample is right on the same problems.
Prints JSON; shares with 95 % intervals by problem.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from rise.errors import DataError
from rise.evaluation.held_out import HeldOut, read_held_out
from rise.evaluation.uncertainty import mean, paired_difference, ratio
from rise.evaluation.vote import Same, remember, vote
from rise.recipe.toml import load_recipe
from rise.report.compare import find_stage
from rise.tasks import make_task
from rise.trajectory import Turn


def tokens(turns: tuple[Turn, ...]) -> float:
    """Read and written for these replies, without a prefix cache."""
    return sum((turn.n_prompt_tokens or 0) + (turn.n_reply_tokens or 0) for turn in turns)


def equal_tokens(records: list[HeldOut], samples: dict[str, HeldOut], same: Same) -> dict[str, Any]:
    """Both votes at equal total tokens, over the problems that both were asked.

    Raises `DataError` where there are too few samples for that.
    """
    both = [record for record in records if record.problem_id in samples]
    turns = sum(tokens(record.run) for record in both) / len(both)
    one = sum(tokens(samples[r.problem_id].parallel) / len(samples[r.problem_id].parallel) for r in both) / len(both)
    n = math.ceil(turns / one)  # in favour of the samples
    if n > len(samples[both[0].problem_id].parallel):
        raise DataError(f"five turns cost as much as {n} samples, and there are fewer. Evaluate again with --samples {n}.")
    over_turns = [vote(record.run, same)[-1] for record in both]
    over_samples = [vote(samples[record.problem_id].parallel[:n], same)[-1] for record in both]
    last = [float(record.run[-1].right) for record in both]
    return {
        "n_problems": len(both),
        "tokens_turns": round(turns, 1),
        "tokens_sample": round(one, 1),
        "n_samples": n,
        "vote_turns": mean(over_turns).to_json(),
        "vote_samples": mean(over_samples).to_json(),
        "vote_turns-vote_samples": paired_difference(over_turns, over_samples).to_json(),
        "last-vote_samples": paired_difference(last, over_samples).to_json(),
    }


def repairs(records: list[HeldOut]) -> dict[str, Any]:
    """wrong→right, and the share of fresh samples right where a reply was wrong: each wrong reply counts its problem once."""
    wrong = [sum(not turn.right for turn in record.run[:-1]) for record in records]
    right_next = [sum(not a.right and b.right for a, b in zip(r.run, r.run[1:], strict=False)) for r in records]
    fresh = [sum(turn.right for turn in r.samples) / len(r.samples) for r in records]
    gained = [repaired - w * f for repaired, w, f in zip(right_next, wrong, fresh, strict=True)]
    return {
        "wrong_to_right": ratio(right_next, wrong).to_json(),
        "fresh_right_there": ratio([w * f for w, f in zip(wrong, fresh, strict=True)], wrong).to_json(),
        "difference_a_wrong_reply": sum(gained) / sum(wrong),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("samples", type=Path)
    given = parser.parse_args()
    run, stage = find_stage(given.run)
    task = load_recipe(run.config).task
    same = remember(make_task(task.name, **task.settings).judge().same)
    records = list(read_held_out(stage.held_out))
    samples = {record.problem_id: record for record in read_held_out(given.samples / "held-out.jsonl")}
    print(json.dumps({"run": given.run.name, **equal_tokens(records, samples, same), **repairs(records)}, indent=1))


if __name__ == "__main__":
    main()
