"""The counters behind /metrics, for Prometheus. Counts and seconds only; no text of conversations."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from rise.serve.admission import Gate
from rise.serve.revise import Outcome
from rise.trajectory import Turn

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Meters:
    """The metrics of one server, in a registry of their own, so that two servers in a process do not share counts."""

    def __init__(self, gate: Gate) -> None:
        self.registry = CollectorRegistry()

        def counter(name: str, says: str, *labels: str) -> Counter:
            return Counter(f"rise_{name}", says, labels, registry=self.registry)

        self.requests = counter("requests", "HTTP requests by route and status.", "route", "status")
        self.seconds = Histogram(
            "rise_request_seconds", "From the request to the last byte.", ["route"], buckets=SECONDS, registry=self.registry
        )
        self.turns = counter("turns", "Replies drawn from the policy.")
        tokens = counter("tokens", "Tokens the policy read (prompt) and wrote (completion).", "kind")
        self.n_read, self.n_written = tokens.labels("prompt"), tokens.labels("completion")
        self.choices = counter("choices", "Choices played to their end, by what the vote found.", "vote")
        self.changed = counter("choices_not_first", "Choices whose content is not the first turn's reply.")
        self.cancelled = counter("cancelled", "Requests whose client went away before the end.")
        self.failures = counter("engine_failures", "Requests that ended because the policy could not reply.")
        active = Gauge("rise_active", "Choices being played.", registry=self.registry)
        active.set_function(lambda: gate.active)
        waiting = Gauge("rise_waiting", "Choices waiting for a place.", registry=self.registry)
        waiting.set_function(lambda: gate.waiting)

    def turn(self, turn: Turn) -> None:
        self.turns.inc()
        self._count(turn)
        for other in turn.beside:
            self._count(other)

    def _count(self, turn: Turn) -> None:
        self.n_read.inc(turn.n_prompt_tokens or 0)
        self.n_written.inc(turn.n_reply_tokens or 0)

    def outcome(self, outcome: Outcome) -> None:
        if outcome.winner is None:
            found = "none"
        else:
            found = "unanimous" if len(outcome.groups) == 1 else "divided"
        self.choices.labels(found).inc()
        if outcome.chosen > 1:
            self.changed.inc()

    def text(self) -> bytes:
        return generate_latest(self.registry)
