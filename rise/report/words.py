"""The words under a report: what each name in it means, and how the run was made."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rise.evaluation.headline import HEADLINE, REPLIES, named
from rise.report.collect import ReportData
from rise.report.numbers import DASH, count
from rise.report.own_stop import turns_taken


def glossary(data: ReportData) -> dict[str, str]:
    """What every name in the tables means, with this run's numbers of turns and samples."""
    K, S = data.n_turns, data.n_samples
    n = max((stage.estimate("m1@t1").n for stage in data.measured), default=0)
    metrics = {name.label: name.of.meaning.format(K=K, S=S) for name in named((*HEADLINE, *REPLIES), K, S)}
    if data.over:
        metrics |= OVER
    return metrics | {
        "vote": "Equal answers form a group without sight of the right one; a reply without an answer never votes; "
        "a tie scores the share of tied answers that are right.",
        "nothing shown": "Control: turn k is an independent sample at the bare problem.",
        "another's attempt shown": "Control: from turn 2 on the attempt shown is another problem's.",
        "n": f"Problems, up to {count(n)} here; for shares of replies, the number of replies.",
        "interval": "95 %, clustered by problem, since replies to one problem belong together. Shares: the score interval "
        "with continuity correction at an effective sample size. Differences: paired by problem, Bonett and Price's "
        "adjusted interval. Neither collapses at 0 or 1.",
        "hard problems": "Those that all of B parallel first replies miss.",
        "probability of the gold solution": "Geometric mean over its tokens; scored, not sampled.",
        "equal compute": _equal_compute(data),
        "effective sample size": "(Σw)² ÷ Σw² of the training weights w.",
        DASH: "Not measured, or not yet. Never zero.",
    }


def _equal_compute(data: ReportData) -> str:
    K, S = data.n_turns, data.n_samples
    how = "at equal numbers of samples" if K == S else f"at {S} samples and {K} turns"
    if taken := turns_taken(data.last):
        how = f"at {S} samples and the turns that were taken before the model's own stop, {taken}"
    return (
        f"m{S}@t1 and m1@t{K} are compared {how}. A later turn also reads earlier attempts, so tokens are shown beside, "
        "generated and all."
    )


OVER = {
    "over seeds": "Mean ± t · s/√k of one value a training, Student's t with k − 1 degrees of freedom: the spread between "
    "trainings, on these problems.",
    "over problems": "The interval below, on what each problem scores on average over the seeds: the choice of problems, for "
    "these trainings.",
}
"""The two intervals of several seeds."""


def facts(data: ReportData) -> dict[str, str]:
    """Provenance as name → text."""
    p = data.provenance
    if not p:
        return {}
    command = p.get("command")
    words = [str(word) for word in command] if isinstance(command, list) else [str(command or DASH)]
    words[0] = Path(words[0]).name or words[0]  # without the path of the user's environment
    clean = {True: "", False: " with uncommitted changes", None: ""}[p.get("clean")]
    versions = p.get("versions") or {}
    found = {
        "command": shlex.join(words),
        "rise": f"{p.get('rise') or DASH}, commit {str(p.get('commit') or DASH)[:12]}{clean}",
        "seed": _text(p.get("seed")),
        "started": _text(p.get("started")),
        "machine": f"{p.get('machine') or DASH}, {_text(p.get('cpu_count'))} cores, Python {p.get('python') or DASH}",
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items() if version) or DASH,
    }
    if data.versions_since:
        found["versions since"] = "; ".join(data.versions_since)
    known = {"command", "rise", "commit", "clean", "seed", "started", "machine", "cpu_count", "python", "versions"}
    return found | {name.replace("_", " "): _fact(value) for name, value in p.items() if name not in known}


def _fact(value: Any) -> str:
    return ", ".join(f"{k} {_text(v)}" for k, v in value.items()) if isinstance(value, Mapping) else _text(value)


def _text(value: Any) -> str:
    return DASH if value is None else str(value)
