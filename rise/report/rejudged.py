"""What another judge changed: verdicts counted, and every headline number before and after, the vote's among them."""

from __future__ import annotations

from collections.abc import Sequence

from rise.evaluation.compare import difference
from rise.evaluation.headline import HEADLINE, named, sizes
from rise.method.rejudge import Rejudged
from rise.report.collect import estimate_at
from rise.report.numbers import count, percent
from rise.report.table import Cell, Table, difference_cell
from rise.runs.stages import title


def verdicts_table(done: Sequence[Rejudged]) -> Table:
    """Replies by what became of their verdicts."""
    rows = []
    for stage in done:
        for name, c in (("held-out", stage.held_out), ("training", stage.training)):
            if c.replies:
                counts = (c.replies, c.to_right, c.from_right, c.to_unread, c.from_unread, c.answers)
                rows.append((Cell(f"{title(stage.stage)}, {name}"), *(Cell(count(n)) for n in counts)))
    columns = ("replies of", "judged", "→ right", "right →", "→ no answer", "no answer →", "answer differs")
    caption = "Replies whose verdict is another than it was. Answers that differ are what votes count anew."
    return Table("rejudged-verdicts", "Verdicts that changed", columns, tuple(rows), caption)


def numbers_table(done: Sequence[Rejudged]) -> Table:
    """Headline numbers: after, the difference to before on the same replies."""
    names = named(HEADLINE, *sizes(done[-1].after))
    rows = []
    for stage in done:
        cells = []
        for name in names:
            before, after = (estimate_at(name.find(metrics)) for metrics in (stage.before, stage.after))
            change = difference(stage.scores[1], stage.scores[0], name.key)
            shown = difference_cell(change)
            cells.append(Cell(f"{percent(before.value)} → {percent(after.value)}", shown.text, shown.small))
        rows.append((Cell(title(stage.stage)), *cells))
    caption = (
        "Percent right by the judge of the run → by the other judge, the difference in points with its 95 % interval. The "
        "replies are the same; differences before and after group answers by the other judge."
    )
    return Table("rejudged-numbers", "Numbers by the two judges", ("stage", *(n.label for n in names)), tuple(rows), caption)
