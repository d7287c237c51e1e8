"""The reward of a turn: what a judge found, as the number that replies are weighed by. RISE §4.1."""

from __future__ import annotations

from rise.judge import Judgement
from rise.recipe.config import RewardConfig


def reward_of(judgement: Judgement, rewards: RewardConfig) -> float:
    """The score, where the judge gave one, mapped from [0, 1] to [reward.wrong, reward.right]; else the verdict's reward.

    Binary as published (arXiv 2407.18219, §4.1) unless the judge scores.

    >>> from rise.trajectory import Verdict
    >>> reward_of(Judgement(Verdict.UNPARSABLE, None), RewardConfig(unparsable=-1.0))
    -1.0
    >>> reward_of(Judgement(Verdict.WRONG, "7", score=0.25), RewardConfig(wrong=-1.0, right=1.0))  # -1 + 0.25 * 2
    -0.5
    """
    if judgement.score is not None:
        return rewards.wrong + judgement.score * (rewards.right - rewards.wrong)
    by_verdict: dict[str, float] = rewards.model_dump()
    return by_verdict[judgement.verdict.value]
