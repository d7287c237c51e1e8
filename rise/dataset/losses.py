"""What one trained token costs: the losses that `train.loss` may name, token by token.

A loss looks at one token at a time, so it is the same sum however rows are packed, merged, accumulated or shared out over
devices. The functions take tensors and use nothing but their methods: this module imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Tokens:
    """What is known of M trained tokens besides their log-probabilities now: one tensor of length M each."""

    weights_M: Any
    """How strongly each is pulled up, or pushed down where it is negative; an advantage where the loss is one of policy
    gradients."""
    sampled_M: Any
    """Log-probability when the reply was drawn; 0 where it was not recorded."""
    reference_M: Any
    """Log-probability under the model that the new one is to stay near; 0 where it was not recorded."""
    kl_M: Any
    """How strongly it is held to the reference; 0 for not at all."""

    def part(self, some: slice) -> Tokens:
        """The same of some of the tokens."""
        return Tokens(self.weights_M[some], self.sampled_M[some], self.reference_M[some], self.kl_M[some])


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a loss may move a token. The fields are those of [train.loss] in a recipe."""

    floor: float = 0.01
    clip_low: float = 0.2
    clip_high: float = 0.2
    kl: str = "k3"


Cost = Callable[[Any, Tokens, Bounds], Any]
"""(log-probabilities now (M,), what else is known, bounds) → cost of each token (M,), differentiable in the first."""


def likelihood(logp_M: Any, tokens: Tokens, bounds: Bounds) -> Any:
    """−w·log p. Where w is negative the token is pushed down, as long as its probability is above the floor.

    Without that bound there would be no minimum: log p falls for ever. RISE eq. 4.6 where no weight is negative.
    """
    weights = tokens.weights_M
    lowest = math.log(bounds.floor) if bounds.floor > 0 else -math.inf
    return -weights * logp_M.where(weights >= 0, logp_M.clamp(min=lowest))


def policy_gradient(logp_M: Any, tokens: Tokens, bounds: Bounds) -> Any:
    """−min(ρ·A, clip(ρ, 1 − low, 1 + high)·A), ρ = p now / p when it was drawn. PPO, arXiv 1707.06347, eq. 7, of each token.

    Where ρ = 1 its gradient is −A·∇log p, that of REINFORCE.
    """
    weights = tokens.weights_M
    ratio = (logp_M - tokens.sampled_M).masked_fill(weights == 0, 0.0).exp()  # the exponent of what does not count may overflow
    clipped = ratio.clamp(1 - bounds.clip_low, 1 + bounds.clip_high)
    return -(ratio * weights).minimum(clipped * weights)


def k3(gap_M: Any) -> Any:
    """exp(d) − d − 1, d = log reference − log p. On replies of the model itself its gradient is that of KL(reference ‖ model)."""
    return gap_M.exp() - gap_M - 1


def k2(gap_M: Any) -> Any:
    """½·d². On replies of the model itself its gradient is that of KL(model ‖ reference)."""
    return gap_M * gap_M / 2


KLS: dict[str, Callable[[Any], Any]] = {"k3": k3, "k2": k2}
"""The values of `train.loss.kl`: estimates of a divergence from drawn tokens (Schulman, joschu.net/blog/kl-approx.html)."""


@dataclass(frozen=True, slots=True)
class Loss:
    """One loss."""

    about: str
    """What it is, in one sentence."""
    cost: Cost
    needs_sampled: bool = False
    """Whether every example needs the log-probabilities with which its reply was drawn."""


LOSSES: dict[str, Loss] = {
    "likelihood": Loss("Weighted log-likelihood, the paper's eq. 4.6.", likelihood),
    "policy-gradient": Loss("Clipped importance ratio times the advantage.", policy_gradient, needs_sampled=True),
}
"""The values of `train.loss.name`. A loss added here is accepted by every recipe."""


def cost_of(name: str, bounds: Bounds) -> Callable[[Any, Tokens], Any]:
    """The whole cost of each token: that of the named loss, and the divergence from the reference where it is held to one."""
    loss, kl = LOSSES[name].cost, KLS[bounds.kl]

    def cost(logp_M: Any, tokens: Tokens) -> Any:
        # What does not count is 0 before it is exponentiated: inf times 0 would be no number.
        gap_M = (tokens.reference_M - logp_M).masked_fill(tokens.kl_M == 0, 0.0)
        return loss(logp_M, tokens, bounds) + tokens.kl_M * kl(gap_M)

    return cost


WEIGHTED_NLL = cost_of("likelihood", Bounds())
"""Σ w·nll: what trains unless a recipe says otherwise."""
