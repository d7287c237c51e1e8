"""What replies cost, and where to stop: tokens read and written, times a price per million of each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from rise.errors import ConfigError, RiseError
from rise.jsonl import read_jsonl


class BudgetError(RiseError):
    """The money is spent. What was paid for is on disk."""


@dataclass(slots=True)
class Budget:
    """A running bill. Prices and limit are in one currency, whichever it is."""

    price_prompt: float = 0.0
    """Per million prompt tokens."""
    price_reply: float = 0.0
    """Per million reply tokens."""
    limit: float | None = None
    """Nothing more is begun once this much is spent; None counts without stopping."""
    spent: float = 0.0

    @property
    def exhausted(self) -> bool:
        return self.limit is not None and self.spent >= self.limit

    def pay(self, n_prompt_tokens: int | None, n_reply_tokens: int | None) -> None:
        """Add one reply. Raises `ConfigError` where a limit is set and the endpoint does not say what it counted.

        >>> bill = Budget(price_prompt=0.5, price_reply=1.5, limit=2.0)
        >>> bill.pay(1_000_000, 1_000_000)
        >>> bill.spent, bill.exhausted
        (2.0, True)
        """
        if self.limit is not None and (n_prompt_tokens is None or n_reply_tokens is None):
            raise ConfigError(
                f"relabel.budget = {self.limit:g}, but the endpoint does not say how many tokens a reply took, so nothing can be "
                "added up. Leave relabel.budget out, or use an endpoint that reports usage."
            )
        self.spent += (self.price_prompt * (n_prompt_tokens or 0) + self.price_reply * (n_reply_tokens or 0)) / 1e6

    def stop(self, n_done: int, n_all: int) -> BudgetError:
        """What to say when it is exhausted before all is done."""
        return BudgetError(
            f"relabel.budget = {self.limit:g} is spent: {self.spent:.4g} so far, with {n_done} of this round's {n_all} "
            "trajectories improved. Every reply that was paid for is in the ledger and will not be asked for again. To go on, "
            "run the same command with a larger budget: --set relabel.budget=…"
        )


def paid(ledger: Path, purpose: str, prices: Budget) -> float:
    """What the replies cost that a ledger holds for the stages whose name ends so."""
    bill = replace(prices, limit=None, spent=0.0)
    for _, line in read_jsonl(ledger):
        if str(line.get("purpose", "")).endswith(purpose) and "turn" in line:
            bill.pay(line["turn"].get("n_prompt_tokens"), line["turn"].get("n_reply_tokens"))
    return bill.spent
