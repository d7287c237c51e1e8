"""`ReportData` → Markdown: the tables of the page, for a terminal, a lab note or a pull request."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from rise.report.analysis_tables import analysis_tables
from rise.report.collect import Chosen, ReportData
from rise.report.headline import Claim
from rise.report.numbers import DASH, count
from rise.report.outcomes import OUTCOMES, printable
from rise.report.tables import Cell, Table, all_tables


def markdown(
    data: ReportData, headline: str, claims: Sequence[Claim], glossary: Mapping[str, str], facts: Mapping[str, str]
) -> str:
    """The whole report as text."""
    parts = [f"# {inline(data.name)}: Recursive Introspection", inline(headline)]
    if data.owed:
        parts.append(f"Not measured yet: {', '.join(inline(stage.title) for stage in data.owed)}.")
    if claims:
        parts.append(
            "\n".join(f"- {inline(c.question)} **{c.answer}** {'' if c.detail == DASH else c.detail}".rstrip() for c in claims)
        )
    parts += [table_markdown(table) for table in (all_tables(data) | analysis_tables(data)).values()]
    if data.outcomes:
        counts = "\n".join(f"- {count(n)} {name}: {OUTCOMES[name]}" for name, n in data.outcomes.items())
        parts += ["## Trajectories", f"Problems by what became of them over the turns:\n\n{counts}"]
        parts += [_trajectory(chosen) for chosen in data.chosen]
    parts.append("## Words\n\n" + "\n".join(f"- **{inline(name)}**: {inline(text)}" for name, text in glossary.items()))
    if facts:
        parts.append("## Provenance\n\n" + "\n".join(f"- {inline(name)}: {inline(text)}" for name, text in facts.items()))
    if data.config_text:
        parts.append("## Recipe\n\n" + fenced(data.config_text.strip(), "toml"))
    return "\n\n".join(parts) + "\n"


def table_markdown(table: Table) -> str:
    """A table with its title and caption; the first column is text, the others are numbers."""
    head = "| " + " | ".join(map(inline, table.columns)) + " |"
    rule = "| --- |" + " ---: |" * (len(table.columns) - 1)
    rows = ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in table.rows]
    caption = [inline(table.caption)] if table.caption else []
    return "\n\n".join([f"## {inline(table.title)}", "\n".join([head, rule, *rows]), *caption])


def inline(text: str) -> str:
    """Text that no Markdown reader takes for markup or a table's edge.

    >>> print(inline("a|b <script> *x*"))
    a\\|b &lt;script&gt; \\*x\\*
    """
    text = printable(" ".join(text.split())).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", text)


def fenced(text: str, language: str = "text") -> str:
    """A code block whose fence is longer than any run of backticks inside.

    >>> print(fenced("a ``` b"))
    ````text
    a ``` b
    ````
    """
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{printable(text)}\n{fence}"


def _cell(cell: Cell) -> str:
    parts = [cell.text, f"({cell.bracket})" if cell.bracket else "", f"[{cell.small}]" if cell.small else ""]
    return inline(" ".join(part for part in parts if part))


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
