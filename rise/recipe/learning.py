"""What trains beyond the paper's loss: the records of [train.loss]. Equations and sources: docs/beyond.md."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from rise.dataset.losses import KLS, LOSSES, Bounds
from rise.recipe.settings import Settings, one_of


class LossConfig(Settings):
    """What each trained token costs (`rise.dataset.losses`)."""

    name: Annotated[str, one_of(LOSSES)] = "likelihood"
    """`likelihood`: weight times negative log-likelihood, as published. `policy-gradient`: weight, as an advantage, times the
    importance ratio, clipped; it needs the log-probabilities with which replies were drawn, which a round then records."""
    floor: float = Field(0.01, ge=0, lt=1)
    """A negative weight pushes a token down only while its probability is above this. 0: for ever, and refused where a weight is
    negative. Unit: probability."""
    clip_low: float = Field(0.2, ge=0, le=1)
    """`policy-gradient`: a reply that is pushed down is not pushed on below the ratio 1 - `clip_low`."""
    clip_high: float = Field(0.2, ge=0)
    """`policy-gradient`: a reply that is pulled up is not pulled on above the ratio 1 + `clip_high`."""
    kl: Annotated[str, one_of(KLS)] = "k3"
    """How the divergence from the reference is estimated where examples are held to one: `k3` is exp(d) - d - 1, `k2` is d²/2,
    with d the log-probability of the reference less the model's."""

    @property
    def bounds(self) -> Bounds:
        """The same for the functions that compute the loss."""
        return Bounds(self.floor, self.clip_low, self.clip_high, self.kl)
