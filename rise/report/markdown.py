"""The report as Markdown, for a terminal, a lab note or a pull request."""

from __future__ import annotations

from collections.abc import Mapping

from rise.evaluation.markdown import fenced, inline
from rise.evaluation.outcomes import OUTCOMES
from rise.report.claims import Caution
from rise.report.collect import Chosen
from rise.report.drawing import Figure
from rise.report.layout import Page
from rise.report.numbers import DASH, count
from rise.report.table import Cell, Table


def markdown(page: Page) -> str:
    """The whole report as text: the sections of the page, its figures by their captions."""
    data = page.data
    parts = [f"# {inline(data.name)}: Recursive Introspection", *([inline(page.what)] if page.what else [])]
    parts += [inline(page.headline), *([_figure(page.picture)] if page.picture else [])]
    parts += [_caution(caution) for caution in page.cautions]
    if data.unmeasured:
        parts.append(f"Not measured yet: {', '.join(inline(stage.title) for stage in data.unmeasured)}.")
    if page.claims:
        shown = ((c, "" if c.detail == DASH else c.detail) for c in page.claims)
        parts.append("\n".join(f"- {inline(c.question)} **{c.answer}** {detail}".rstrip() for c, detail in shown))
    for filled in page.sections:
        parts.append(f"## {inline(filled.section.title)}")
        parts += [table_markdown(table, level=3) for table, _ in filled.tables]
        parts += [_figure(figure) for figure in filled.figures]
        if not (filled.tables or filled.figures):
            parts.append(inline(filled.section.empty))
    if data.outcomes:
        counts = "\n".join(f"- {count(n)} {name}: {OUTCOMES[name]}" for name, n in data.outcomes.items())
        parts += ["## Trajectories", f"Problems by what became of them over the turns:\n\n{counts}"]
        parts += [_trajectory(chosen) for chosen in data.chosen]
    parts += ["## Words", _list(page.glossary, "**")]
    if page.facts:
        parts += ["## Provenance", _list(page.facts)]
    if data.config_text:
        parts.append("## Recipe\n\n" + fenced(data.config_text.strip(), "toml"))
    return "\n\n".join(parts) + "\n"


def table_markdown(table: Table, level: int = 2) -> str:
    """A table under its title, with its caption; the first column is text, the others are numbers."""
    head = "| " + " | ".join(map(inline, table.columns)) + " |"
    rule = "| --- |" + " ---: |" * (len(table.columns) - 1)
    rows = ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in table.rows]
    caption = [inline(table.caption)] if table.caption else []
    return "\n\n".join([f"{'#' * level} {inline(table.title)}", "\n".join([head, rule, *rows]), *caption])


def _caution(caution: Caution) -> str:
    where = f"**{inline(caution.where)}**: " if caution.where else ""
    lines = [f"> {where}{inline(caution.says)} {inline(caution.way_out)}".rstrip()]
    return "\n>\n".join([*lines, f"> One reply: {inline(caution.example)}"] if caution.example else lines)


def _figure(figure: Figure) -> str:
    return f"[Figure: {inline(figure.title)}](report.html#figure-{figure.key}). {inline(figure.caption)}"


def _list(items: Mapping[str, str], mark: str = "") -> str:
    return "\n".join(f"- {mark}{inline(name)}{mark}: {inline(text)}" for name, text in items.items())


def _cell(cell: Cell) -> str:
    parts = [cell.text, f"({cell.bracket})" if cell.bracket else "", f"[{cell.small}]" if cell.small else ""]
    text = inline(" ".join(part for part in parts if part))
    return f"[{text}]({cell.link})" if cell.link else text


def _trajectory(chosen: Chosen) -> str:
    record = chosen.record
    parts = [
        f"### {chosen.outcome}: problem {inline(record.problem_id)}",
        fenced(record.question),
        f"Gold: {inline(record.gold)}",
    ]
    for k, turn in enumerate(record.run, 1):
        answer = DASH if turn.answer is None else inline(turn.answer)
        parts += [f"Turn {k}, {turn.verdict or 'not judged'}, answer {answer}:", fenced(turn.reply)]
    return "\n\n".join(parts)
