"""What a recipe's method is called, in a word or two: the row of a table that sets methods beside each other."""

from __future__ import annotations

from rise.recipe.config import RunConfig


def method_of(config: RunConfig) -> str:
    """The method that a recipe trains by.

    >>> from rise.recipe.toml import build_config
    >>> drawn = {"model": {"path": "m"}, "relabel": {"improver": "none"}, "rollout": {"n_trajectories": 4, "turns": 3}}
    >>> method_of(build_config({"model": {"path": "m"}})), method_of(build_config({**drawn, "advantage": {}}))
    ('RISE', 'advantages by turn')
    """
    if config.iterate.rounds == 0:
        return "no round"
    if config.advantage is not None:
        return _by_advantage(config)
    return f"{_supervised(config)}{_internalised(config)}{_verified(config)}"


def _by_advantage(config: RunConfig) -> str:
    advantage = config.advantage
    assert advantage is not None
    kind = "policy gradient" if config.train.loss.name == "policy-gradient" else "advantages"
    if advantage.progress:
        return f"SCoRe{' in two stages' if advantage.hold_rounds else ''}"
    if config.rollout.turns == 1 and config.relabel.improver == "none":
        return f"{kind}, one turn"
    return f"{kind} by {advantage.group}{_internalised(config)}{_verified(config)}"


def _supervised(config: RunConfig) -> str:
    if config.distil is not None:
        return f"self-distillation, {config.distil.shown} shown"
    if config.train.dpo is not None:
        return f"DPO, {config.train.dpo.pairs}"
    relabel, right_only = config.relabel, config.keep.rule == "success"
    if relabel.improver == "pair":
        return "pair-SFT"
    if relabel.improver == "none":
        return "STaR" if right_only else "own turns"
    if config.weigh.rule == "equal":
        return "SFT on right replies" if right_only else "SFT on all replies"
    return "RISE" if relabel.improver == "self" else f"RISE, {relabel.improver}"


def _internalised(config: RunConfig) -> str:
    return {"off": "", "also": ", internalised", "only": ", at the first turn alone"}[config.dataset.internalise]


def _verified(config: RunConfig) -> str:
    return ", stops by itself" if config.state.verify and config.dataset.verdict_weight else ""
