"""Examples → rows → lines → batches, all decided before training starts.

A *row* is token ids with one float weight per token, and what else a loss has to know of each. A *line* is several rows laid
end to end, told apart by position ids alone. A *batch* is the lines of one forward pass on one device.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from rise.dataset.example import Example
from rise.errors import DataError


@dataclass(slots=True)
class Row:
    """Token ids with one weight each: what one or more examples of a problem train."""

    ids: list[int]
    weights: list[float]
    """Weight of predicting each token; 0 for prompt tokens."""
    n_examples: int = 1
    n_trained: int = 0
    """Tokens that are targets, whatever their weight."""
    sampled: list[float] = field(default_factory=list)
    """Log-probability of each token when it was drawn, 0 for prompt tokens; shorter than the row where the rest is 0."""
    reference: list[float] = field(default_factory=list)
    """The same under the model that the new one is held to."""
    kl: list[float] = field(default_factory=list)
    """How strongly each token is held to it."""

    def extend(self, prompt: Sequence[int], example: Example, *, per: str) -> None:
        """Continue with the rest of `prompt`, which begins as this row does, and the example's reply."""
        n = len(example.reply_ids)
        over = n if per == "sequence" else 1
        self.ids += prompt[len(self.ids) :]
        columns = (
            (self.weights, [example.weight * w / over for w in example.token_weights] or [example.weight / over] * n),
            (self.sampled, example.sampled_logps),
            (self.reference, example.reference_logps),
            (self.kl, [example.kl / over] * n if example.kl else ()),
        )
        for column, values in columns:
            if values:
                column += [0.0] * (len(self.ids) - len(column))
                column += values
        self.ids += example.reply_ids
        self.n_examples += 1
        self.n_trained += n


def make_rows(examples: Sequence[Example], *, per: str, merge: bool) -> list[Row]:
    """One row per example; with `merge`, an example whose prompt extends an earlier row exactly continues that row.

    `per = "sequence"` divides each weight by the reply's length, so that the loss is the mean over its tokens
    (reference code); `per = "token"` leaves it, so that the loss is the sum (RISE eq. 4.6).
    Raises `DataError` for an example without prompt or reply tokens.
    """
    by_problem: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        if not example.prompt_ids or not example.reply_ids:
            # Behind an empty prompt, the reply's first token would be predicted from another row.
            asked = example.prompt[-1].content if example.prompt else ""
            raise DataError(
                f"the example of problem {example.problem_id}, turn {example.turn} has no prompt or no reply tokens, so "
                f"nothing of it would train: {len(example.prompt_ids)} tokens for {asked[-80:]!r}, {len(example.reply_ids)} for "
                f"the reply {example.reply[:80]!r}. Build the examples again (rise relabel --examples), or drop this line."
            )
        by_problem[example.problem_id].append(example)
    rows: list[Row] = []
    for own in by_problem.values():
        open_rows: dict[tuple[int, ...], Row] = {}
        for example in sorted(own, key=lambda e: len(e.prompt_ids)):
            prompt = list(example.prompt_ids)
            row = None
            if merge:
                start = next((ids for ids in open_rows if list(ids) == prompt[: len(ids)]), None)
                row = open_rows.pop(start) if start is not None else None
            if row is None:
                row = Row(ids=[], weights=[], n_examples=0)
                rows.append(row)
            row.extend(prompt, example, per=per)
            open_rows[tuple(row.ids)] = row
    return rows


@dataclass(slots=True)
class Batch:
    """The lines of one forward pass on one device; no line at all for a batch that only keeps ranks in step."""

    lines: list[list[int]]
    """Row indices, line by line."""


@dataclass(slots=True)
class Plan:
    """Which rows go into which forward pass of which optimiser step."""

    batches: list[Batch]
    """In order: step by step, within a step accumulation by accumulation, within that rank by rank."""
    n_steps: int
    accumulation: int
    n_trained_tokens: int = 0
    """Target tokens of all steps together."""


def plan_batches(
    rows: Sequence[Row],
    *,
    batch_size: int,
    epochs: float,
    max_steps: int | None,
    line_length: int,
    micro_batch_tokens: int,
    world: int,
    seed: int,
    trained_tokens: int | None = None,
) -> Plan:
    """Shuffle per epoch, cut into steps of about `batch_size` examples, pack, and give every rank equally many batches.

    Every row is used exactly once an epoch. Short ranks are filled with empty batches, never with repeated rows.
    `trained_tokens`, where given, decides in place of `epochs`: rows are taken until that many target tokens are reached.
    """
    n_examples = sum(row.n_examples for row in rows)
    steps: list[list[int]] = []
    wanted = max(1, round(epochs * len(rows))) if trained_tokens is None else rows_for(rows, trained_tokens, seed)
    epoch = 0
    while wanted > 0:
        order = _order(len(rows), seed, epoch)[:wanted]
        share = n_examples * len(order) / len(rows)
        n = max(1, round(share / batch_size))
        # Even steps: a short last one would weigh its rows more, since N counts one step only.
        steps += [order[i * len(order) // n : (i + 1) * len(order) // n] for i in range(n)]
        wanted -= len(order)
        epoch += 1
    steps = [step for step in steps if step][: max_steps or None]

    packed = [_pack(step, rows, line_length, micro_batch_tokens, world) for step in steps]
    accumulation = max(-(-len(batches) // world) for batches in packed)
    out: list[Batch] = []
    for batches in packed:
        out += batches + [Batch([])] * (accumulation * world - len(batches))
    return Plan(out, len(steps), accumulation, sum(rows[i].n_trained for step in steps for i in step))


def rows_for(rows: Sequence[Row], trained_tokens: int, seed: int) -> int:
    """How many rows hold that many target tokens, epoch after epoch, in shuffled order.

    The row that crosses the number is taken where that comes closer than leaving it out; the result is at least 1.
    """
    per_epoch = sum(row.n_trained for row in rows)
    n_epochs, rest = divmod(trained_tokens, per_epoch)
    total = 0
    for n, index in enumerate(_order(len(rows), seed, n_epochs)):
        before, total = total, total + rows[index].n_trained
        if total >= rest:
            takes_it = total - rest <= rest - before
            return max(1, n_epochs * len(rows) + n + (1 if takes_it else 0))
    return max(1, n_epochs * len(rows))


def _order(n: int, seed: int, epoch: int) -> list[int]:
    order = list(range(n))
    random.Random(f"{seed}-{epoch}").shuffle(order)
    return order


def _pack(step: Sequence[int], rows: Sequence[Row], line_length: int, tokens: int, world: int) -> list[Batch]:
    """First-fit decreasing into lines, then neighbouring lines of similar length into batches."""
    lines: list[tuple[int, list[int]]] = []
    for index in sorted(step, key=lambda i: (-len(rows[i].ids), i)):
        length = len(rows[index].ids)
        for place, (used, members) in enumerate(lines):
            if used + length <= line_length:
                lines[place] = (used + length, [*members, index])
                break
        else:
            lines.append((length, [index]))
    lines.sort(key=lambda line: -line[0])
    batches: list[Batch] = []
    width = 0
    limit = -(-len(lines) // world)  # with several ranks, share the step out evenly before filling one rank
    for used, members in lines:
        if not batches or width * (len(batches[-1].lines) + 1) > tokens or len(batches[-1].lines) >= limit:
            batches.append(Batch([]))
            width = used
        batches[-1].lines.append(members)
    return batches
