"""Settings of [advantage], [dataset] and [train.loss] that do not go together: part of `rise.recipe.rules`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rise.dataset.losses import LOSSES

if TYPE_CHECKING:
    from rise.recipe.config import RunConfig


def replies_of_the_student_alone(config: RunConfig) -> str | None:
    """An advantage is of a reply that the student drew itself, and had not seen."""
    if config.advantage is not None and config.rollout.policy is not None:
        return (
            f'[advantage] weighs replies that the student drew, but rollout.policy = "{config.rollout.policy}" draws them in its '
            "place. Leave one of the two out"
        )
    if config.advantage is None or (config.relabel.improver in ("self", "none") and config.relabel.relabel_right != "restate"):
        return None
    return (
        "[advantage] weighs replies that the student drew, but relabel.improver = "
        f'"{config.relabel.improver}" with relabel.relabel_right = "{config.relabel.relabel_right}" puts others there. Use '
        'relabel.improver = "none" or "self", and relabel.relabel_right = "skip" or "keep"'
    )


def one_home_for_weights(config: RunConfig) -> str | None:
    """[advantage] takes the place of the keep and weigh rules."""
    if config.advantage is None:
        return None
    changed = {
        "keep.rule": config.keep.rule != "all",
        "keep.trained_turns": config.keep.trained_turns != "all",
        "weigh.rule": config.weigh.rule != "exp",
        "weigh.centre": config.weigh.centre,
        "dataset.per_problem": config.dataset.per_problem is not None,
        "dataset.drop_repeated_answers": config.dataset.drop_repeated_answers,
    }
    named = next((name for name, wrong in changed.items() if wrong), None)
    return named and f"{named} is not read where [advantage] weighs every reply. Leave it at its default, or [advantage] out"


def something_to_compare(config: RunConfig) -> str | None:
    """A reply is compared with others, so a problem needs several."""
    advantage = config.advantage
    if advantage is None or config.rollout.n_trajectories >= 2:
        return None
    if advantage.group == "state" and config.relabel.improver == "self":
        return None
    return (
        "[advantage] compares replies to one problem, but rollout.n_trajectories = 1 draws one a turn. Raise it, or set "
        'advantage.group = "state" with relabel.improver = "self" and relabel.states = "every"'
    )


def ratios_of_advantages(config: RunConfig) -> str | None:
    """A policy gradient is of advantages, at replies drawn by the model that is trained."""
    if not _needs_sampled(config) or config.advantage is not None or config.distil is not None:
        return None
    return (
        f'train.loss.name = "{config.train.loss.name}" takes weights for advantages, but they come from [weigh]. Add '
        '[advantage], or use train.loss.name = "likelihood"'
    )


def ratios_of_what_was_sampled(config: RunConfig) -> str | None:
    """A ratio compares with the model's own distribution, so replies must come from it as it is."""
    sampling = config.sampling
    if not _needs_sampled(config) or (sampling.temperature == 1 and sampling.top_p == 1):
        return None
    return (
        f'train.loss.name = "{config.train.loss.name}" compares with the probability of a reply when it was drawn, that of the '
        f"model itself, but sampling.temperature = {sampling.temperature:g} and sampling.top_p = {sampling.top_p:g} draw from "
        "another. Set both to 1"
    )


def ratios_of_this_rounds_replies(config: RunConfig) -> str | None:
    """What was not drawn at this state by this round's student has no ratio."""
    if not _needs_sampled(config):
        return None
    changed = {
        'dataset.data = "aggregate"': config.dataset.data == "aggregate",
        "dataset.replay_share": config.dataset.replay_share > 0,
        f'dataset.internalise = "{config.dataset.internalise}"': config.dataset.internalise != "off",
    }
    named = next((name for name, wrong in changed.items() if wrong), None)
    return named and (
        f"{named} trains replies that this round's student did not draw where they train, which train.loss.name = "
        f'"{config.train.loss.name}" cannot weigh. Leave it out, or use train.loss.name = "likelihood"'
    )


def verdicts_that_nobody_drew(config: RunConfig) -> str | None:
    """The word that trains after an attempt is the judge's."""
    if not _needs_sampled(config) or not config.state.verify or not config.dataset.verdict_weight:
        return None
    return (
        f'state.verify trains verdicts that the judge gives, which nobody drew, but train.loss.name = "{config.train.loss.name}" '
        'compares with how replies were drawn. Use train.loss.name = "likelihood", or set dataset.verdict_weight = 0'
    )


def pairs_by_themselves(config: RunConfig) -> str | None:
    """TRL trains pairs and nothing else, in this process; what weighs or moves single replies has nothing to work on."""
    if any(training is not None and training.dpo for training in (config.boost.train, config.boost.train_multi_turn)):
        return "boost.train.dpo: a boost trains worked solutions, with no wrong reply beside them. Leave it out"
    if config.train.dpo is None:
        return None
    train, dataset = config.train, config.dataset
    changed = {
        "[advantage]": config.advantage is not None,
        f'keep.rule = "{config.keep.rule}"': config.keep.rule != "all",
        f'weigh.rule = "{config.weigh.rule}"': config.weigh.rule != "exp",
        "weigh.centre": config.weigh.centre,
        f'dataset.internalise = "{dataset.internalise}"': dataset.internalise != "off",
        "dataset.replay_share": dataset.replay_share > 0,
        "dataset.per_problem": dataset.per_problem is not None,
        "dataset.drop_repeated_answers": dataset.drop_repeated_answers,
        "state.verify with dataset.verdict_weight above 0": bool(config.state.verify and dataset.verdict_weight),
        "evaluate.internalised": config.evaluate.internalised,
        "train.loss": train.loss.name != "likelihood",
        "train.masters": train.masters,
        "train.compile": train.compile,
        "train.launcher": train.launcher is not None,
        "train.save_steps": train.save_steps > 0,
        "[model.lora]": config.model.lora is not None,
        "[cluster]": config.cluster is not None,
        f'relabel.improver = "{config.relabel.improver}"': config.relabel.improver in ("none", "pair"),
    }
    named = next((name for name, wrong in changed.items() if wrong), None)
    return named and f"{named} does not go with [train.dpo], which trains pairs by TRL in this process. Leave one of the two out"


def a_teacher_of_own_replies(config: RunConfig) -> str | None:
    """[distil] weighs every reply that this round's student drew by itself, and nothing else."""
    if config.distil is None:
        return None
    changed = {
        "[advantage]": config.advantage is not None,
        "[train.dpo]": config.train.dpo is not None,
        f'keep.rule = "{config.keep.rule}"': config.keep.rule != "all",
        f'keep.trained_turns = "{config.keep.trained_turns}"': config.keep.trained_turns != "all",
        f'weigh.rule = "{config.weigh.rule}"': config.weigh.rule != "exp",
        "weigh.centre": config.weigh.centre,
        "dataset.per_problem": config.dataset.per_problem is not None,
        "dataset.drop_repeated_answers": config.dataset.drop_repeated_answers,
        "dataset.replay_share": config.dataset.replay_share > 0,
        f'dataset.internalise = "{config.dataset.internalise}"': config.dataset.internalise != "off",
        'dataset.data = "aggregate"': config.dataset.data == "aggregate",
        "evaluate.internalised": config.evaluate.internalised,
        f'relabel.improver = "{config.relabel.improver}"': config.relabel.improver not in ("self", "none"),
        'relabel.relabel_right = "restate"': config.relabel.relabel_right == "restate",
        "rollout.policy": config.rollout.policy is not None,
        "sampling.temperature or top_p other than 1": (config.sampling.temperature, config.sampling.top_p) != (1, 1),
    }
    named = next((name for name, wrong in changed.items() if wrong), None)
    return named and (
        f"{named} does not go with [distil], which weighs every reply that the student drew. Leave one of the two out"
    )


def a_boost_of_solutions(config: RunConfig) -> str | None:
    """Worked solutions were drawn by nobody."""
    boost = config.boost
    if not boost.enabled or not any(
        LOSSES[t.loss.name].needs_sampled for t in (boost.train, boost.train_multi_turn or boost.train)
    ):
        return None
    return (
        'boost.train.loss.name asks for log-probabilities of drawn replies, but a boost trains worked solutions. Use "likelihood"'
    )


def _needs_sampled(config: RunConfig) -> bool:
    return LOSSES[config.train.loss.name].needs_sampled


LEARNING = (
    replies_of_the_student_alone,
    one_home_for_weights,
    something_to_compare,
    ratios_of_advantages,
    ratios_of_what_was_sampled,
    ratios_of_this_rounds_replies,
    verdicts_that_nobody_drew,
    pairs_by_themselves,
    a_teacher_of_own_replies,
    a_boost_of_solutions,
)
