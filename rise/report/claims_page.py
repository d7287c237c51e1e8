"""The executable paper as pages: claims.html with a figure a claim, and claims.md for the documentation."""

from __future__ import annotations

import json
import re
import shlex
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from markupsafe import Markup

from rise.evaluation.forecast import Calibration, calibrate
from rise.jsonl import write_whole
from rise.method.claims.beside import Side
from rise.method.claims.beside import to_json as side_to_json
from rise.method.claims.experiment import Laboratory
from rise.method.claims.results import UNFINISHED, Compared, Result, to_json
from rise.method.forecast import trained_runs
from rise.report import colours
from rise.report.beside import beside_caption, beside_figure, beside_tables
from rise.report.claims_figure import claim_figure
from rise.report.drawing import Figure
from rise.report.markdown import inline, table_markdown
from rise.report.numbers import DASH, count, difference, difference_interval, duration, number, percent
from rise.report.page import page_environment
from rise.report.table import Cell, Table, Tone

TONES: dict[str | None, Tone] = {"holds": "above", "does not hold": "below", "undecided": "unsure", None: ""}

SCALES = {
    "quick": "The quick run, one seed and small sizes: that everything runs, and which way the numbers lean.",
    "toy": "A toy: it says that everything runs. Its numbers mean nothing.",
}
"""Scale → what a reader must know before any number."""

RULES = (
    "Each experiment, what it compares, the smallest difference that matters (m) and the rule stand in a file of {place}/ "
    "that was written before it was run. More: surely above 0, and at least m; it does not hold where the whole interval is "
    "below m. Not less: surely above −m; it does not hold where the whole interval is below 0 and the value at most −m. Same: "
    "surely between −m and m; it does not hold where the whole interval is on one side of 0 and the value at least m away.",
    "Surely: the one-sided p-value over trainings (Student's t) and the one over problems are both below .05 after Holm's "
    "correction over the claims of the table, and both 95 % intervals lie there whole. A claim with several deciding comparisons "
    "holds where all of them do, and does not where one does not. Anything else is undecided.",
    "Intervals are 95 %: first over seeds (trainings), then over problems. One seed has no interval over seeds: its verdict "
    "stands on problems alone and says nothing of the next training.",
)


MAIN_CAPTION = (
    "Points: a difference of shares of problems right, in points of a hundred; beneath it 95 % intervals, over seeds where there "
    "are several, and over problems. Where several comparisons decide together, the weakest of those that bear the verdict is "
    "shown. p: after Holm's correction over the table. How verdicts come about stands at the end."
)


@dataclass(frozen=True)
class ClaimSection:
    """One claim on the page."""

    number: int
    title: str
    says: str
    source: str
    verdict: str
    lines: tuple[str, ...]
    figure: Figure | None
    table: Table
    command: str
    file: str
    """Of the experiment."""


@dataclass(frozen=True)
class ClaimsPage:
    """All that both files show."""

    title: str
    says: str
    place: str
    """The folder of the experiments."""
    what: str
    headline: str
    cautions: tuple[str, ...]
    table: Table
    claims: tuple[ClaimSection, ...]
    beside: tuple[Table, ...]
    """All arms beside each other, a table a task."""
    beside_caption: str
    picture: Figure | None
    """The same as one figure."""
    forecast: str = ""
    """How far `rise forecast` is off on these runs; empty where they are of too few tasks."""

    @property
    def rules(self) -> tuple[str, ...]:
        return tuple(rule.format(place=self.place) for rule in RULES)

    @property
    def figures(self) -> list[Figure]:
        return [*([self.picture] if self.picture else []), *(claim.figure for claim in self.claims if claim.figure)]


@dataclass(frozen=True)
class Ran:
    """Where and how the table was made."""

    command: Sequence[str]
    machine: str
    seconds: float | None
    """Of the whole run on a clock; None where it was made in several sittings."""
    scale: str | None = None
    failed: Sequence[str] = ()


def write_claims(
    results: Sequence[Result], sides: Sequence[Side], lab: Laboratory, ran: Ran, out: Path, page: Path | None = None
) -> Path:
    """claims.json, claims.html and claims.md of `out`, or as the laboratory calls them; the last also as `page`.

    Beside each Markdown lies the figure of all arms, where there is one. Returns the first page.
    """
    found = {"what": _what(results, ran), "command": list(ran.command), "claims": [to_json(result) for result in results]}
    if sides:
        found["beside"] = [side_to_json(side) for side in sides]
    write_whole(out / f"{lab.pages}.json", json.dumps(found, indent=1) + "\n")
    laid = replace(lay_out(results, sides, lab, ran), forecast=forecast_words(calibrate(trained_runs(out / f"{lab.pages}.json"))))
    write_whole(out / f"{lab.pages}.html", render(laid))
    for target in (out / f"{lab.pages}.md", *([page] if page else [])):
        drawn = target.with_suffix(".svg")
        if laid.picture:
            write_whole(drawn, laid.picture.standalone)
        write_whole(target, markdown(laid, ran, drawn.name))
    return out / f"{lab.pages}.html"


def lay_out(results: Sequence[Result], sides: Sequence[Side], lab: Laboratory, ran: Ran) -> ClaimsPage:
    return ClaimsPage(
        title=lab.title,
        says=lab.says,
        place=lab.place,
        what=_what(results, ran),
        headline=headline(results),
        cautions=(*([SCALES[ran.scale]] if ran.scale in SCALES else []), *ran.failed),
        table=main_table(results, ran),
        claims=tuple(_section(result, ran) for result in results),
        beside=beside_tables(sides, lab.beside),
        beside_caption=beside_caption(lab.beside) if lab.beside else "",
        picture=beside_figure(sides, "Accuracy against inference tokens"),
    )


def headline(results: Sequence[Result]) -> str:
    """How many claims hold, in a sentence.

    >>> headline([])
    'No claim has been tried.'
    """
    if not results:
        return "No claim has been tried."
    begun = sum(_verdict(result) == "unfinished" for result in results)
    if all(r.verdict is None for r in results):
        done = f"none is finished, {begun} {'is' if begun == 1 else 'are'} begun" if begun else "none has been run"
        one = "1 experiment is" if len(results) == 1 else f"{len(results)} experiments are"
        return f"{one} written down, and {done}."
    n = {verdict: sum(r.verdict == verdict for r in results) for verdict in ("holds", "does not hold", "undecided", None)}
    parts = [
        f"{n['holds']} hold{'s' if n['holds'] == 1 else ''}",
        f"{n['does not hold']} {'does' if n['does not hold'] == 1 else 'do'} not",
        f"{n['undecided']} {'is' if n['undecided'] == 1 else 'are'} undecided",
    ]
    for number_of, what in ((begun, "{} unfinished"), (n[None] - begun, "{} not run")):
        parts += [f"{number_of} {what.format('is' if number_of == 1 else 'are')}"] if number_of else []
    only = all(r.one_seed for r in results if r.verdict is not None)
    claims = "1 claim" if len(results) == 1 else f"{len(results)} claims"
    return f"Of {claims} {', '.join(parts)}." + (" One seed: verdicts rest on problems alone." if only else "")


def _what(results: Sequence[Result], ran: Ran) -> str:
    seeds = max((len(result.seeds) for result in results), default=0)
    size = f"scale {ran.scale}" if ran.scale else "full size"
    if not seeds:
        return (
            f"{size}, {'nothing finished' if any(_verdict(result) == 'unfinished' for result in results) else 'nothing measured'}"
        )
    clock = "" if ran.seconds is None else f", {duration(ran.seconds)}"
    return f"{size}, {seeds} seed{'' if seeds == 1 else 's'}, {ran.machine}{clock}"


def command_of(result: Result, ran: Ran) -> str:
    """What makes a claim's numbers again: the whole command's own options, with this claim alone."""
    return shlex.join([*ran.command, "--only", str(result.experiment.claim)])


def p_value(p: float | None) -> str:
    """
    >>> p_value(0.0442), p_value(9.2e-12), p_value(None)
    ('0.0442', '< 0.001', '–')
    """
    return "< 0.001" if p is not None and p < 0.001 else number(p)


def _verdict(result: Result) -> str:
    if result.verdict is None:
        return "unfinished" if any(item.found.by_seed for item in result.compared) else "not run"
    return f"{result.verdict} (one seed)" if result.one_seed else result.verdict


def main_table(results: Sequence[Result], ran: Ran) -> Table:
    """A line a claim: its deciding number, both intervals, the verdict, how long, how to make it again."""
    rows = []
    for result in results:
        deciding, of = weakest(result), len(result.primary)
        name = f"{result.experiment.claim}. {result.experiment.title}"
        what = Cell(
            deciding.comparison.says if deciding else DASH, small=f"the weakest of {of}" if of > 1 and result.verdict else ""
        )
        found = Cell(DASH) if deciding is None else _number_cell(deciding)
        p = Cell(p_value(deciding.adjusted if deciding else None))
        why_not = "" if result.why_not.endswith(UNFINISHED) else result.why_not
        verdict = Cell(_verdict(result), small=why_not, tone=TONES[result.verdict])
        seeds = Cell(count(len(result.seeds)) if result.seeds else DASH)
        rows.append(
            (
                Cell(name, link=f"#claim-{result.experiment.claim}"),
                verdict,
                found,
                what,
                p,
                seeds,
                Cell(duration(result.seconds or None)),
            )
        )
    columns = ("claim", "verdict", "points", "decided by", "p (Holm)", "seeds", "machine time")
    return Table("claims", "Verdicts", columns, tuple(rows), MAIN_CAPTION)


def weakest(result: Result) -> Compared | None:
    """Of the comparisons that decide together and bear the verdict, the one with the largest p-value.

    One that does not hold may have the smaller: surely above 0, and surely below what matters.
    """
    bearing = [item for item in result.primary if item.verdict == result.verdict] or result.primary
    return max(bearing, key=lambda item: -1.0 if item.p is None else item.p, default=None)


def _number_cell(item: Compared) -> Cell:
    found, unit = item.found, item.comparison.unit
    if found.seeds.value is None:
        return Cell(DASH, small="" if item.trouble.endswith(UNFINISHED) else item.trouble)
    seeds = f"seeds {difference_interval(found.seeds, unit)}" if found.seeds.low is not None else ""
    problems = f"problems {difference_interval(found.problems, unit)}" if found.problems.low is not None else ""
    beneath = "" if unit == "share" else f" {unit}"
    return Cell(difference(found.seeds.value, unit) + beneath, small="\n".join(filter(None, (seeds, problems))))


def _section(result: Result, ran: Ran) -> ClaimSection:
    experiment = result.experiment
    rows = []
    for item in result.compared:
        mark = "decides" if item.comparison.primary else ""
        says = item.comparison.says + (f", {item.task}" if len({i.task for i in result.compared}) > 1 else "")
        unit = item.comparison.unit
        each = ", ".join(difference(value, unit) for value in item.found.values)
        expects = f"{item.comparison.expects}, m = {difference(item.comparison.matters, unit).lstrip('+')}"
        rows.append(
            (
                Cell(says, small=item.comparison.of),
                _number_cell(item),
                Cell(each or DASH),
                Cell(expects),
                Cell(p_value(item.adjusted)),
                Cell(item.verdict if item.found.by_seed else DASH, small=mark, tone=TONES[item.verdict]),
            )
        )
    columns = ("compared", "points", "by seed", "expected", "p", "verdict")
    table = Table(f"claim-{experiment.claim}-numbers", f"Claim {experiment.claim}", columns, tuple(rows))
    arms = [f"Arm {name}: {arm.says}." for name, arm in experiment.arms.items() if arm.says]
    why_not = "" if not result.why_not or result.why_not.endswith(UNFINISHED) else f"Not run: {result.why_not}."
    lines = [line for line in (why_not, experiment.remarks, " ".join(arms)) if line]
    return ClaimSection(
        experiment.claim,
        experiment.title,
        experiment.says,
        experiment.source,
        _verdict(result),
        tuple(" ".join(line.split()) for line in lines),
        claim_figure(result),
        table,
        command_of(result, ran),
        experiment.file,
    )


def forecast_words(found: Calibration) -> str:
    """How far a forecast is off on a task whose runs it has not seen."""
    if found.share is None or found.error is None or found.worst is None:
        return ""
    pairs = sorted(found.correlations.items(), key=lambda item: -abs(item[1]))
    going = ", ".join(f"{name} {number(r)}" for name, r in pairs)
    miss, worst = number(100 * found.error), number(100 * found.worst)
    return (
        f"`rise forecast` tries to say before any training what the rounds of RISE will gain. On {', '.join(found.tasks)} "
        f"they reached {percent(found.share)} % of its ceiling on the mean; a task forecast from the others is off by {miss} "
        f"points (root mean square), at most {worst}. What goes with the gain over these tasks (correlation): {going}."
    )


def render(page: ClaimsPage) -> str:
    """The page as text."""
    return (
        page_environment()
        .get_template("claims.html")
        .render(
            page=page,
            svg={figure.key: Markup(figure.inline) for figure in page.figures},  # nosec B704 # drawn by us, its texts escaped
            light=Markup(colours.declarations(dark=False)),  # nosec B704 # constants of ours
            dark=Markup(colours.declarations(dark=True)),  # nosec B704 # constants of ours
        )
    )


def markdown(page: ClaimsPage, ran: Ran, picture: str) -> str:
    """docs/claims.md as last run. `picture` is the name of the file with the figure of all arms."""
    parts = [
        f"# {inline(page.title)}",
        f"Written by `{shlex.join(ran.command)}`; edit `{page.place}/`, not this page.",
        *([_wrapped((page.says,), prose)] if page.says else []),
        _wrapped((f"{inline(page.what)}. **{inline(page.headline)}**",), str),
        *(f"> {inline(caution)}" for caution in page.cautions),
        _wrapped(page.rules),
        _main_markdown(page),
        *_beside_markdown(page, picture),
    ]
    for claim in page.claims:
        parts += [
            f"## {claim.number}. {inline(claim.title)}: {claim.verdict}",
            _wrapped((f"{claim.says} Source: {claim.source}.", *claim.lines), prose),
            "\n\n".join(table_markdown(claim.table).split("\n\n")[1:]),
            f"Experiment: `{page.place}/{claim.file}`. Again: `{claim.command}`",
        ]
    if page.forecast:
        parts += ["## The forecast", _wrapped((page.forecast,), prose)]
    return "\n\n".join(parts) + "\n"


def _beside_markdown(page: ClaimsPage, picture: str) -> list[str]:
    if not page.beside:
        return []
    tables = [table_markdown(table, level=3) for table in page.beside]
    figure = [f"![{inline(page.picture.title)}]({picture})", _wrapped((page.picture.caption,))] if page.picture else []
    return ["## Side by side", _wrapped((page.beside_caption,)), *tables, *figure]


def _main_markdown(page: ClaimsPage) -> str:
    table = Table(
        page.table.key,
        page.table.title,
        (*page.table.columns, "command"),
        tuple((*row, Cell(claim.command)) for row, claim in zip(page.table.rows, page.claims, strict=True)),
    )
    plain = tuple((Cell(row[0].text), *row[1:]) for row in table.rows)
    return "\n\n".join(table_markdown(Table(table.key, table.title, table.columns, plain)).split("\n\n")[1:])


def prose(text: str) -> str:
    """Text of an experiment file as Markdown: what stands in backticks is code, the rest means itself.

    >>> prose("`hit 1` asks *once*")
    '`hit 1` asks \\\\*once\\\\*'
    """
    return re.sub(r"`[^`]+`|[^`\s]+", lambda found: found[0] if found[0].startswith("`") else inline(found[0]), text)


def _wrapped(lines: Sequence[str], written: Callable[[str], str] = inline, width: int = 140) -> str:
    """Paragraphs whose lines can be read in a diff."""
    return "\n\n".join("\n".join(textwrap.wrap(written(line), width, break_long_words=False)) for line in lines)
