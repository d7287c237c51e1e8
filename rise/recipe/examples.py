"""Settings of what trains and of how rounds follow each other: which replies become examples, and with what weight."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rise.dataset.keep import KEEP_RULES
from rise.dataset.weigh import WEIGH_RULES
from rise.recipe.settings import Settings, one_of


class KeepConfig(Settings):
    """Which replies become examples (reference code `--criteria`)."""

    rule: Annotated[str, one_of(KEEP_RULES)] = "all"
    """`all` judged replies, those `better` than every earlier one, the `best` of the trajectory, right ones (`success`), or right
    ones and wrong ones where nothing was right before (`no-loss`)."""
    trained_turns: Literal["all", "last"] = "all"
    """`last`: only the improver's replies train; `all`: the student's too."""


class WeighConfig(Settings):
    """exp(reward / temperature), paper eq. 4.6."""

    rule: Annotated[str, one_of(WEIGH_RULES)] = "exp"
    """`exp`: exp(reward / τ). `equal`: every example has the same weight: plain supervised fine-tuning. `reward`: the reward;
    where it is below 0, as `centre` makes it, the reply is pushed down."""
    temperature: float = Field(0.4, gt=0)
    """τ in exp(reward / τ); smaller values favour right replies more."""
    centre: bool = False
    """Subtract the mean reward of all judged replies to the same problem in the round."""
    restate: float = Field(1.0, gt=0)
    """Factor on the weight of an attempt that `relabel.relabel_right = "restate"` trains again. Where a model is rarely right,
    few states teach it to keep what is."""
    clip: float | None = Field(None, gt=0)
    """Largest weight of either sign before scaling; None for no limit."""
    scale: Literal["mean-one", "raw"] = "mean-one"
    """`mean-one`: weights of a round are divided by the mean of their sizes; `raw`: they stay as they are."""


class IterateConfig(Settings):
    """How the rounds follow each other."""

    rounds: int = Field(2, ge=0)
    """Rounds of rollout, relabel, train and evaluate. Unit: rounds."""
    start: Literal["base", "boost", "previous"] = "previous"
    """The checkpoint that each round's training starts from."""
    allow_no_right: bool = False
    """Train a round in which no reply is right. Off, the run stops there: such a round teaches the model its own mistakes. Toy
    scales set it, since a model trained for a few steps is rarely right. May be changed when a run is continued."""
    match_tokens: bool = False
    """Train each round on as many tokens as the same round of the run that `boost.reuse` names, the last on what is left:
    baselines at equal training."""
