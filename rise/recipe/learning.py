"""What trains and how it pulls: the records of [dataset], [advantage] and [train.loss]. Beyond the paper: docs/beyond.md."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rise.dataset.advantage import CREDITS, GROUPS, SCALES, Comparison
from rise.dataset.distil import SHOWN
from rise.dataset.internalise import INTERNALISE_WEIGHTS
from rise.dataset.losses import KLS, LOSSES, Bounds
from rise.dataset.pairs import PAIRS
from rise.recipe.settings import Settings, one_of


class DatasetConfig(Settings):
    """What the round trains on."""

    data: Literal["latest", "aggregate"] = "latest"
    """Train on the latest round's examples, or on those of all rounds so far (`aggregate`)."""
    replay_share: float = Field(0.0, ge=0, lt=1)
    """Share of one-turn boost examples (worked solutions) mixed in."""
    drop_truncated: bool = True
    """Replies cut at the token limit are dropped and counted; otherwise they train without an end of turn."""
    deduplicate: bool = True
    """Drop exact repeats of (state, reply)."""
    drop_repeated_answers: bool = False
    """Drop a reply that is not right and whose answer an attempt before it had: it teaches to try the same again."""
    per_problem: int | None = Field(None, ge=1)
    """Most examples per problem and round; None for no limit. Unit: examples."""
    internalise: Literal["off", "also", "only"] = "off"
    """`also`: replies written after an attempt train at the first turn's state too: right at once, beside correcting itself.
    `only`: every reply trains there alone: what the same data buy without introspection. A control: with `rollout.reuse` and
    `iterate.match_tokens` it has RISE's replies and training."""
    internalise_share: float = Field(1.0, gt=0, le=1)
    """Under `also`: this share of the later replies, chosen by the seed."""
    internalise_weight: Annotated[str, one_of(INTERNALISE_WEIGHTS)] = "same"
    """Under `also`: what they weigh at the first turn. `same`: as where they were written; `gain`: reward less the mean reward of
    the problem's first replies, below 0 pushed down."""
    verdict_weight: float = Field(1.0, ge=0)
    """Under `state.verify`: what the verdict on each of the student's attempts weighs as an example, beside replies whose mean
    weight is 1. 0: no verdict trains."""
    verdict_balance: bool = False
    """Verdicts on right attempts weigh as much in sum as those on all others, so that the rarer are not drowned; their mean
    stays `verdict_weight`."""


class AdvantageConfig(Settings):
    """Every reply that the student drew, weighed by how much better it is than others drawn in its place (docs/beyond.md)."""

    group: Annotated[str, one_of(GROUPS)] = "turn"
    """What a reply is compared with: `turn`: all replies to the problem at the same turn, of all its trajectories
    (`rollout.n_trajectories`); `state`: those at the very same state, of which `relabel.n_samples` draws more."""
    scale: Annotated[str, one_of(SCALES)] = "std"
    """`std`: (R - mean) / standard deviation of the group; `none`: R - mean."""
    gamma: float = Field(0.5, ge=0, le=1)
    """What a reward one turn later is worth now; 0: each turn has its own reward alone."""
    credit: Annotated[str, one_of(CREDITS)] = "max"
    """How later turns count: `max`: the better of its own reward and γ times the best later value; `mean`: its reward plus
    γ times the mean of the later values."""
    repeat_penalty: float = Field(0.0, ge=0)
    """Taken from the return of a wrong reply whose answer stands among the attempts it was shown."""
    progress: float = Field(0.0, ge=0)
    """SCoRe's α: adds α (r - reward of the attempt before) to the return of every later turn."""
    kl: float = Field(0.0, ge=0)
    """How strongly every token is held to the model that the round's training starts from."""
    hold_rounds: int = Field(0, ge=0)
    """In the first so many rounds the first turn has no advantage and is held by `hold_kl` (SCoRe's stage I). Unit: rounds."""
    hold_kl: float = Field(0.1, ge=0)
    """How strongly first turns are held in those rounds."""

    @property
    def comparison(self) -> Comparison:
        """The same for the functions that compare."""
        return Comparison(
            self.group,
            self.scale,
            self.gamma,
            self.credit,
            self.repeat_penalty,
            self.progress,
            self.kl,
            self.hold_rounds,
            self.hold_kl,
        )


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


class DpoConfig(Settings):
    """Pairs in place of weighted replies, a right one before a wrong one, by TRL's `DPOTrainer` (docs/beyond.md)."""

    beta: float = Field(0.1, gt=0)
    """How dearly moving away from the reference is paid for."""
    pairs: Annotated[str, one_of(PAIRS)] = "attempt"
    """What the improver's right reply is preferred to. `attempt`: the wrong attempt that it corrects, where that was made, as
    PACE does; `sample`: a wrong reply drawn beside it, at the same state; `both`."""


class DistilConfig(Settings):
    """Weights by a teacher: how much likelier each token is to the model once it has seen more (docs/beyond.md)."""

    shown: Annotated[str, one_of(SHOWN)] = "right"
    """What the teacher has seen besides, as the attempt before the reply, with the feedback on it. `right`: a right reply to the
    same problem; `attempt`: the reply itself."""
    clip: float = Field(2.0, gt=0)
    """A token's weight, a difference of log-probabilities, is bounded by this. Unit: nats."""
