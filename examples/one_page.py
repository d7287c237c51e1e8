"""Recursive Introspection (RISE, arXiv 2407.18219) on one page, with `rise`'s own stages and a model that fits in the head.

The problems are sums. The model is a small table: how likely its reply is right at its first try, after an attempt that it
sees to be right, and after one that it sees to be wrong. Before training all three are alike, so asking again changes nothing.
Training moves each entry towards the weighted replies of a round, which is what maximum likelihood does to a real model.
With a real model, `fit` is `rise.train`, and the rest of the page stays as it is.

    python examples/one_page.py
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import rise

KINDS = ("first try", "after a right attempt", "after a wrong attempt")
LEARNING_RATE = 0.5


class Table:
    """A policy: a function from messages to a reply. `right` holds P(right reply | kind of state)."""

    def __init__(self, right: dict[str, float], seed: int) -> None:
        self.right = right
        self.random = random.Random(seed)

    def __call__(self, messages: list[dict[str, str]]) -> str:
        total = answer_to(messages)
        if self.random.random() < self.right[kind_of(messages)]:
            return f"The answer is \\boxed{{{total}}}."
        wrong = self.random.choice([n for n in range(80) if n != total])
        return f"The answer is \\boxed{{{wrong}}}."


def answer_to(messages: list[dict[str, str]]) -> int:
    """The table can add. What it has not learnt is to use that when it sees its own attempt."""
    left, right = next(m["content"] for m in messages if m["role"] == "user").rstrip("?").split("+")
    return int(left) + int(right)


def kind_of(messages: list[dict[str, str]]) -> str:
    """The state as the table tells it: nothing shown, or its last attempt, checked by adding again."""
    attempts = [m["content"] for m in messages if m["role"] == "assistant"]
    if not attempts:
        return KINDS[0]
    return KINDS[1] if f"{{{answer_to(messages)}}}" in attempts[-1] else KINDS[2]


def fit(table: Table, examples: Sequence[rise.Example]) -> dict[str, float]:
    """Weighted maximum likelihood: Σ wᵢ·log p(replyᵢ | stateᵢ) is highest at the weighted share of right replies."""
    new = dict(table.right)
    for kind in KINDS:
        here = [e for e in examples if kind_of([{"role": m.role, "content": m.content} for m in e.prompt]) == kind]
        if here:
            share = sum(e.weight for e in here if e.right) / sum(e.weight for e in here)
            new[kind] += LEARNING_RATE * (share - new[kind])
    return new


def main(n: int = 800, rounds: int = 2, seed: int = 0) -> list[list[float]]:
    """Share of right last replies by turn: of the base, then after each round."""
    sums = [{"question": f"{a}+{b}?", "gold": str(a + b)} for a in range(40) for b in range(40)]
    random.Random(seed).shuffle(sums)
    task = rise.load_task({"train": sums[:n], "test": sums[-n:]}, judge="math", instructions=None)
    shown = {"feedback": "neutral", "seed": seed}

    table = Table(dict.fromkeys(KINDS, 0.4), seed)
    curves = [by_turn(table, task, n, shown)]
    for k in range(1, rounds + 1):
        student = rise.load_policy(table)
        # 1. Rollout: the student takes k turns, so that what is improved are states it reaches itself.
        attempts = rise.rollout(student, task, n=n, turns=k, stop_when_right=False, **shown)
        # 2. Relabel: at each state the best of 8 replies of its own; a right attempt is stated again. RISE eq. 4.5.
        improved = rise.relabel(student, task, attempts, n_samples=8, states="every", relabel_right="restate")
        # 3. Examples: its own replies and the improved ones, each with weight exp(reward / τ). RISE eq. 4.6.
        examples = rise.build_examples(task, attempts, improved, temperature=0.4)
        # 4. Train, and measure over five turns on problems it has not seen.
        table = Table(fit(table, examples), seed + k)
        curves.append(by_turn(table, task, n, shown))
    return curves


def by_turn(table: Table, task: rise.Task, n: int, shown: dict[str, object]) -> list[float]:
    """Accuracy of the last reply after each of five turns: no vote, and nobody says which reply is right."""
    found = rise.evaluate(rise.load_policy(table), task, n=n, turns=5, control=False, **shown)
    return [estimate["value"] for estimate in found.metrics["accuracy_by_turn"]]


if __name__ == "__main__":
    print("right by turn, %      1     2     3     4     5")
    for number, curve in enumerate(main()):
        print(f"{f'round {number}' if number else 'base':<16}" + "".join(f"{100 * share:6.1f}" for share in curve))
