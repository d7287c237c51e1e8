"""Whether the check that a reply holds can be trusted: what replies say of their own answers against what the judge says.

Where replies check themselves, later turns live by that word: what calls itself right is kept. Right replies all end in yes, so
a model trained on them alone learns to say it under anything (docs/log.md). Defined in docs/metrics.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rise.evaluation.headline import Played
from rise.evaluation.uncertainty import ratio
from rise.trajectory import Turn


def own_check(problems: Sequence[Played]) -> dict[str, Any] | None:
    """`own_check` of metrics.json, over all replies of the runs; None where no reply says whether it is right."""
    counts = [_Counts(p.run) for p in problems]
    if not any(c.says_right or c.says_wrong for c in counts):
        return None
    wrong = [float(c.wrong) for c in counts]
    return {
        "precision": ratio([float(c.rightly) for c in counts], [float(c.says_right) for c in counts]).to_json(),
        "false_yes": ratio([float(c.says_right - c.rightly) for c in counts], wrong).to_json(),
        "false_no": ratio([float(c.doubted) for c in counts], [float(c.right) for c in counts]).to_json(),
        "silent": ratio([float(c.silent) for c in counts], [float(c.right + c.wrong) for c in counts]).to_json(),
    }


class _Counts:
    """Replies to one problem."""

    def __init__(self, run: Iterable[Turn]) -> None:
        turns = list(run)
        self.right = sum(turn.right for turn in turns)
        self.wrong = len(turns) - self.right
        self.says_right = sum(turn.own_check is True for turn in turns)
        self.says_wrong = sum(turn.own_check is False for turn in turns)
        self.rightly = sum(turn.own_check is True and turn.right for turn in turns)
        self.doubted = sum(turn.own_check is False and turn.right for turn in turns)
        self.silent = sum(turn.own_check is None for turn in turns)
