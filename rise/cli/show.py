"""`rise show`: any file a run writes, record by record, with verdicts and trained tokens in colour."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from rise.evaluation.outcomes import Outcome
    from rise.trajectory import Turn
    from rise.view.tokens import Tokens


def show(
    file: Annotated[
        Path, typer.Argument(help="Any file of a run but report.html, a stage such as RUN/round-1, or a run directory.")
    ],
    index: Annotated[int | None, typer.Option(min=1, help="The record to begin with, counted from 1 after filtering.")] = None,
    problem: Annotated[str | None, typer.Option(help="Only this problem: its id, or how the id begins.")] = None,
    fixed: Annotated[bool, typer.Option("--fixed", help="Only runs that were wrong, then right to the end.")] = False,
    broken: Annotated[bool, typer.Option("--broken", help="Only runs that were right once and wrong at the end.")] = False,
    never: Annotated[bool, typer.Option("--never", help="Only runs that were never right.")] = False,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many records to print.")] = 1,
    tokenizer: Annotated[str | None, typer.Option(help="Tokenizer for token ids; by default the run's own checkpoint.")] = None,
) -> None:
    """Print a trajectory, a held-out record, an improved reply, an example with its trained tokens, a ledger line, …"""
    from rich.console import Console

    console = Console(highlight=False)
    flags: dict[Outcome, bool] = {"fixed": fixed, "broken": broken, "never": never}
    wanted = {name for name, on in flags.items() if on}
    if file.is_dir() or file.suffix in (".json", ".toml", ".md"):
        records: dict[str, object] = {
            "index": index,
            "problem": problem,
            "count": count if count > 1 else None,
            "tokenizer": tokenizer,
        }
        _refuse_records(file, records | {"fixed": fixed, "broken": broken, "never": never})
    if file.is_dir():
        _directory(console, file)
    elif file.suffix == ".json":
        _json_file(console, file)
    elif file.suffix in (".toml", ".md"):
        _text_file(console, file)
    else:
        _lines(console, file, index or 1, problem, wanted, count, tokenizer)


def _refuse_records(path: Path, given: Mapping[str, object]) -> None:
    """Raise `ConfigError` for options that say which records and how, where there are none."""
    from rise.errors import ConfigError

    chosen = ", ".join(f"--{name}" for name, value in given.items() if value)
    if chosen:
        raise ConfigError(
            f"{chosen} is for the records of a .jsonl file, and {path} is none. Leave it out, or name the file: "
            "RUN/round-1/held-out.jsonl."
        )


def _directory(console: Console, path: Path) -> None:
    """A run as its table; a stage as its numbers, what it trained on, and its files."""
    from rise.report import console_table
    from rise.report.measured import measured_table
    from rise.runs.directory import StageDir
    from rise.runs.stages import is_stage

    if not is_stage(path.name) or (path / "config.toml").exists():
        console.print(console_table(path))
        return
    stage = StageDir(path)
    if stage.metrics.exists():
        console.print(_text(measured_table(stage.read_metrics(), path.name)), soft_wrap=True)
    if stage.dataset.exists():
        known = stage.read_dataset()
        sources = "; ".join(f"{source} {n}" for source, n in known["by_source"].items())
        console.print(_text(f"Trained on {known['n_examples']} examples: {sources}."), soft_wrap=True)
    files = [file for file in sorted(path.glob("*.json*")) if file.stat().st_size]
    if not files:
        console.print(_text(f"{path} holds no records yet.", "dim"))
    for file in files:
        console.print(_text(f"rise show {file}", "dim"), soft_wrap=True)


def _json_file(console: Console, path: Path) -> None:
    """metrics.json as a table of numbers with intervals, anything else as it is."""
    from rise.jsonl import read_json

    data = read_json(path)
    if "accuracy_by_turn" not in data:
        console.print_json(data=data)
        return
    from rise.report.console import rich_table
    from rise.report.table import estimates_table

    console.print(rich_table(estimates_table(data)))


def _text_file(console: Console, path: Path) -> None:
    """A recipe, a report as text or a model's card, as it is."""
    from rise.jsonl import read_text

    console.print(_text(read_text(path)), soft_wrap=True, end="")


def _lines(
    console: Console, path: Path, index: int, problem: str | None, wanted: set[Outcome], count: int, tokenizer: str | None
) -> None:
    """`count` records of a .jsonl file from the `index`-th that passes the filters."""
    from rise.errors import ConfigError, DataError
    from rise.view.tokens import Tokens

    kind: str | None = None
    n_matching = n_printed = 0
    tokens = Tokens(path, tokenizer)
    for number, data in _records(path):
        kind = kind or _kind(path, number, data)
        if wanted and kind not in ("trajectory", "held-out"):
            flags = ", ".join(f"--{name}" for name in sorted(wanted))
            raise ConfigError(f"{flags} looks at the verdicts of a run, but {path} holds lines of kind {kind}. Leave it out.")
        if problem and not str(data.get("problem_id", data.get("problem", ""))).startswith(problem):
            continue
        try:
            if wanted and _outcome(data) not in wanted:
                continue
            n_matching += 1
            if n_matching < index:
                continue
            if n_printed == count:
                console.print(_text(f"More: --index {n_matching} goes on; -n 5 prints five.", "dim"), soft_wrap=True)
                return
            _heading(console, path, number, kind)
            KINDS[kind][1](console, data, path, tokens)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise DataError(f"{path}, line {number}: not a {kind} line ({error!r}). Was the file written by `rise`?") from error
        n_printed += 1
        if n_printed == count and problem:
            return
    if n_printed == 0:
        asked = [f"problem {problem}"] if problem else []
        asked += sorted(wanted)
        what = f" of {' and '.join(asked)}" if asked else ""
        raise DataError(f"{path} has {n_matching} records{what}, so there is none at --index {index}.")


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Lines of a file; a torn last line of a run under way is no error."""
    from rise.errors import DataError
    from rise.jsonl import read_jsonl

    lines = read_jsonl(path)
    while True:
        try:
            yield next(lines)
        except StopIteration:
            return
        except DataError:
            if path.name in ("ledger.jsonl", "metrics.jsonl") and _is_torn(path):
                return
            raise


def _is_torn(path: Path) -> bool:
    if not path.exists() or path.stat().st_size == 0:
        return False
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) != b"\n"


def _kind(path: Path, number: int, data: dict[str, Any]) -> str:
    """What a line is, told by its fields: file names may change, fields say what they mean."""
    from rise.errors import DataError

    for kind, (fields, _) in KINDS.items():
        if fields <= data.keys():
            return kind
    fields_found = ", ".join(sorted(data)[:8]) or "no field"
    raise DataError(
        f"{path}, line {number}: not a line that a run writes (it has {fields_found}). `rise show` knows trajectories, held-out "
        "records, relabelled replies, examples, ledgers and metrics.jsonl."
    )


def _outcome(data: dict[str, Any]) -> Outcome | None:
    from rise.evaluation.outcomes import outcome
    from rise.trajectory import turn_from_json

    return outcome([turn_from_json(turn) for turn in data.get("run", data.get("turns", ()))])


# --- one printer a kind -----------------------------------------------------------------------------------------------


def _show_trajectory(console: Console, data: dict[str, Any], path: Path, tokens: Tokens) -> None:
    from rise.trajectory import turn_from_json

    _problem(console, data)
    for k, turn in enumerate(data["turns"], 1):
        _turn(console, turn_from_json(turn), f"turn {k}")


def _show_held_out(console: Console, data: dict[str, Any], path: Path, tokens: Tokens) -> None:
    from rise.trajectory import turn_from_json

    _problem(console, data)
    for k, turn in enumerate(data["run"], 1):
        _turn(console, turn_from_json(turn), f"turn {k}")
    for name, title, first in (
        ("samples", "parallel samples", 2),
        ("other", "another problem's attempt shown", 2),
        ("internalised", "first replies of the control trained at turn 1", 1),
        ("beyond", "had it gone on", len(data["run"]) + 1),
    ):
        if data.get(name):
            console.print(_text(f"\n{title}", "bold"))
            for k, turn in enumerate(data[name], first):
                _brief(console, turn_from_json(turn), f"{'turn' if name in ('other', 'beyond') else 'sample'} {k}")


def _show_relabelled(console: Console, data: dict[str, Any], path: Path, tokens: Tokens) -> None:
    from rise.trajectory import turn_from_json

    state = _state_of(path.with_name("trajectories.jsonl"), data["problem_id"], data.get("sample", 0))
    if state:
        _problem(console, state)
        for k, turn in enumerate(state["turns"][: data["turn"]], 1):
            _turn(console, turn_from_json(turn), f"turn {k}")
    else:
        console.print(_text(f"problem {data['problem_id']}, after {data['turn']} attempts", "dim"))
    candidates = [turn_from_json(turn) for turn in data["candidates"]]
    _turn(console, candidates[data["chosen"]], f"improved reply: {data['chosen'] + 1} of {len(candidates)}")
    if len(candidates) > 1:
        console.print(_text("\nthe others", "bold"))
        for k, turn in enumerate(candidates):
            if k != data["chosen"]:
                _brief(console, turn, f"candidate {k + 1}")


def _show_example(console: Console, data: dict[str, Any], path: Path, tokens: Tokens) -> None:
    from rise.report.numbers import number

    n_prompt, n_reply = len(data.get("prompt_ids") or ()), len(data.get("reply_ids") or ())
    weight = float(data["weight"])
    facts = f"problem {data['problem_id']}, state with {data['turn']} attempts, reply by {data['source']}"
    console.print(_text(facts, "dim"))
    says = f"reward {number(data['reward'])}, weight {number(weight)}, {n_reply} tokens trained, {n_prompt} only read"
    console.print(_text(says, "dim"))
    console.print()
    pieces = tokens.pieces(data.get("prompt_ids") or (), data.get("reply_ids") or ())
    if pieces is None:
        for message in data["prompt"]:
            console.print(_text(message["role"], "bold dim"), _text(message["content"], "dim"), sep="\n", soft_wrap=True)
        console.print(_text("assistant", "bold dim"), _text(data["reply"], _weight_style(weight)), sep="\n", soft_wrap=True)
    else:
        console.print(_coloured(pieces[0], pieces[1], weight), soft_wrap=True)
    if data.get("rejected") is not None:
        console.print(_text("preferred to", "bold dim"), _text(data["rejected"], "red"), sep="\n", soft_wrap=True)
    console.print()
    console.print(_text("only read", "dim"), _text("trained", _weight_style(weight)), sep="   ")
    if pieces is None:
        console.print(_text(tokens.trouble, "yellow"))


def _show_ledger(console: Console, data: dict[str, Any], path: Path, tokens: Tokens) -> None:
    from rise.trajectory import turn_from_json

    console.print(_text(f"key {data['key']}, {data.get('purpose', '')}", "dim"))
    if "turn" in data:
        console.print(_text(f"problem {data.get('problem')}, state with {data.get('attempts')} attempts", "dim"))
        _turn(console, turn_from_json(data["turn"]), "reply")
    else:
        rest = ", ".join(f"{name} {value}" for name, value in data.items() if name not in ("key", "purpose"))
        console.print(_text(f"marker: {rest}", "dim"))


def _show_log(console: Console, data: dict[str, Any], path: Path, tokens: Tokens) -> None:
    import json
    import time

    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(float(data["time"])))
    console.print(_text(when, "dim"))
    for name, value in data.items():
        if name != "time":
            shown = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
            console.print(_text(f"{name.replace('_', ' ')}: {shown}"), soft_wrap=True)


Printer = Callable[["Console", dict[str, Any], Path, "Tokens"], None]
KINDS: dict[str, tuple[set[str], Printer]] = {
    "held-out": ({"problem_id", "run"}, _show_held_out),
    "trajectory": ({"problem_id", "turns"}, _show_trajectory),
    "relabelled": ({"candidates", "chosen"}, _show_relabelled),
    "example": ({"prompt", "reply", "weight"}, _show_example),
    "ledger": ({"key"}, _show_ledger),
    "log": ({"time"}, _show_log),
}
"""Kind of line → the fields that tell it, and how it is printed. The first whose fields are all there."""


# --- pieces -----------------------------------------------------------------------------------------------------------

VERDICT_STYLES = {"right": "green", "wrong": "red", "unparsable": "yellow", "timed_out": "magenta", None: "dim"}


def _text(text: str, style: str = "") -> Text:
    """Plain text: square brackets are no markup and control characters no commands."""
    from rich.text import Text

    from rise.evaluation.outcomes import printable

    return Text(printable(text), style=style)


def _heading(console: Console, path: Path, number: int, kind: str) -> None:
    place = f"{path.parent.name}/{path.name}" if path.parent.name else path.name
    console.print(_text(f"{kind}, {place} line {number}", "bold"))


def _problem(console: Console, data: dict[str, Any]) -> None:
    fields = "".join(f", {name} {value}" for name, value in (data.get("fields") or {}).items())
    console.print(_text(f"problem {data['problem_id']}{fields}", "dim"), soft_wrap=True)
    console.print(_text(data["question"]), soft_wrap=True)
    console.print(_text(f"gold: {data['gold']}", "dim"), soft_wrap=True)


def _says(turn: Turn) -> str:
    verdict = (turn.verdict or "not judged").replace("_", " ")
    parts = [f"answer {turn.answer}" if turn.answer is not None else "no answer"]
    if turn.reward is not None:
        parts.append(f"reward {turn.reward:g}")
    if turn.n_reply_tokens is not None:
        parts.append(f"{turn.n_reply_tokens} tokens")
    if turn.source != "student":
        parts.append(f"by {turn.source}")
    if turn.finish == "length":
        parts.append("cut at the token limit")
    return f"{verdict}, {', '.join(parts)}"


def _turn(console: Console, turn: Turn, title: str) -> None:
    from rise.evaluation.outcomes import own_verdict_words

    style = VERDICT_STYLES[turn.verdict]
    console.print()
    head = _text(title, "bold")
    head.append("  ").append_text(_text(_says(turn), style))
    console.print(head, soft_wrap=True)
    for line in turn.reply.split("\n"):
        console.print(_text("│ ", style).append_text(_text(line, "default")), soft_wrap=True)
    if said := own_verdict_words(turn):
        console.print(_text(f"= {said}", "magenta"), soft_wrap=True)
    if turn.feedback is not None:
        console.print(_text(f"→ {turn.feedback}", "italic dim"), soft_wrap=True)


def _brief(console: Console, turn: Turn, title: str) -> None:
    line = _text(f"  {title}  ", "dim")
    line.append_text(_text(_says(turn), VERDICT_STYLES[turn.verdict]))
    console.print(line, soft_wrap=True)


def _state_of(trajectories: Path, problem_id: str, sample: int) -> dict[str, Any] | None:
    """The trajectory an improved reply belongs to, if its file lies beside it."""
    from rise.jsonl import read_jsonl

    if not trajectories.exists():
        return None
    found = (data for _, data in read_jsonl(trajectories) if data.get("problem_id") == problem_id)
    return next((data for data in found if data.get("sample", 0) == sample), None)


def _weight_style(weight: float) -> str:
    """Strongly imitated in full green, weakly in cyan, not at all struck through."""
    if weight == 0:
        return "strike dim"
    return "bold green" if weight > 1.05 else "green" if weight > 0.95 else "cyan"


def _coloured(prompt: Sequence[str], reply: Sequence[str], weight: float) -> Text:
    """Tokens as text: read ones dim, trained ones in colour, every second one underlined so that borders can be seen."""
    out = _text("")
    for piece in prompt:
        out.append_text(_text(piece, "dim"))
    for i, piece in enumerate(reply):
        # A token that is a line end would be invisible, yet it is trained like any other.
        out.append_text(_text(piece.replace("\n", "⏎\n"), _weight_style(weight) + (" underline" if i % 2 else "")))
    return out
