"""The first sentence of a report and what it claims, computed from the numbers; they never say more than the intervals do."""

from __future__ import annotations

from dataclasses import dataclass

from rise.evaluation.headline import PAIRED, named
from rise.evaluation.outcomes import one_line
from rise.evaluation.uncertainty import Estimate
from rise.report.collect import ReportData, Stage
from rise.report.numbers import DASH, count, percent, points, points_interval, sign
from rise.report.own_stop import own_stop_words, turns_taken
from rise.runs.alarms import FEW_PROBLEMS, latest, place, toy_words


@dataclass(frozen=True, slots=True)
class Claim:
    """One thing a run may show, and whether it did."""

    question: str
    answer: str
    """yes, no, undecided (the interval includes zero), or not measured."""
    detail: str
    difference: Estimate


def headline(data: ReportData) -> str:
    """One or two sentences on the last measured stage; of several seeds, no more than both intervals say."""
    if not data.over:
        return _headline(data)
    seeds = data.over[-1].seeds
    if len(seeds) == 1:
        own = _headline(data.runs[seeds[0]])
        return f"One seed is measured, so the spread between trainings is not known. Seed {seeds[0]}: {own}"
    named = ", ".join(map(str, seeds))
    return f"{_headline(data)} Means of seeds {named}; intervals hold both the one over seeds and the one over problems."


def _headline(data: ReportData) -> str:
    stage = data.last
    if stage is None:
        return "No stage has been measured yet."
    K, S = data.n_turns, data.n_samples
    gain = stage.estimate("paired", f"t{K}-t1")
    if K < 2 or gain.value is None:
        return f"{_when(stage)}, {percent(stage.estimate('m1@t1').value)}\u00a0% of problems are right at turn 1."
    if data.oracle == "stops":
        return _with_oracle(stage, K)
    told = " The feedback came from the recipe's own function, which may know the truth." if data.oracle else ""
    said = (_revision(stage, gain, K), _vote(stage, K, S), own_stop_words(stage.metrics))
    return " ".join(filter(None, said)) + told


def claims(data: ReportData) -> tuple[Claim, ...]:
    """What the last measured stage shows, does not show, or was not asked."""
    stage = data.last
    if stage is None or data.n_turns < 2:
        return ()
    if data.over and len(data.over[-1].seeds) == 1:
        return claims(data.runs[data.over[-1].seeds[0]])
    K, S = data.n_turns, data.n_samples
    found = []
    for name in named(PAIRED, K, S):
        difference = stage.number(name)
        if name.of.optional and difference.value is None:
            continue
        if data.oracle == "stops" and name.of.never_below:
            continue
        answer = {"above": "yes", "below": "no, worse", "includes zero": "undecided", None: "not measured"}[sign(difference)]
        detail = DASH if difference.value is None else f"{points(difference.value)} points ({points_interval(difference)})"
        if data.over and (over := data.over[-1].numbers.get(name.key)) and over.seeds.value is not None:
            detail += f", above zero in {over.n_above} of {over.seeds.n} seeds"
        if name.key == f"m1@t{K}-m{S}@t1" and difference.value is not None and (taken := turns_taken(stage)):
            detail += f"; {taken} against {S} samples"
        found.append(Claim(name.of.question.format(K=K, S=S), answer, detail, difference))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Caution:
    """What a reader must know before any number."""

    where: str
    """Stage and part, others of the same kind after it; empty where it is the whole run."""
    says: str
    way_out: str = ""
    example: str = ""
    """One reply on one line, its control characters visible."""


def cautions(data: ReportData) -> tuple[Caution, ...]:
    """The run's alarms, one of a kind, and whether its held-out problems are too few."""
    found: list[Caution] = []
    for alarm, earlier in latest(data.alarms):
        where = place(alarm) + (f" (also {'; '.join(earlier)})" if earlier else "")
        out = "" if any(caution.way_out == alarm.way_out for caution in found) else alarm.way_out  # once is enough
        found.append(Caution(where, alarm.says, out, "" if alarm.example is None else one_line(alarm.example)))
    n = data.last.estimate("m1@t1").n if data.last else FEW_PROBLEMS
    return (*found, Caution("", toy_words(n))) if n < FEW_PROBLEMS else tuple(found)


def _revision(stage: Stage, gain: Estimate, K: int) -> str:
    first, last = stage.estimate("accuracy_by_turn", 0), stage.estimate("accuracy_by_turn", -1)
    numbers = (
        f"{percent(last.value)}\u00a0% of last replies (turn {K}) are right against {percent(first.value)}\u00a0% of first "
        f"replies, a difference of {points(gain.value)} points (95\u00a0% interval {points_interval(gain)}, n = {count(gain.n)})"
    )
    side = sign(gain)
    if side == "below":
        return f"{_when(stage)}, asking again makes the answers worse: {numbers}."
    if side != "above":
        return (
            f"{_when(stage)}, this run does not show that the model corrects itself: {numbers}, and the interval includes zero."
        )
    controls = {
        "a fresh sample with nothing shown": stage.estimate("paired", f"t{K}-nothing"),
        "replies shown another problem's attempt": stage.estimate("paired", f"t{K}-other"),
    }
    internalised = stage.estimate("paired", f"t{K}-internalised")
    if internalised.value is not None:
        controls["the same replies trained at the first turn"] = internalised
    doubtful = [name for name, difference in controls.items() if sign(difference) in ("below", "includes zero")]
    missing = [name for name, difference in controls.items() if sign(difference) is None]
    if doubtful:
        return (
            f"{_when(stage)}, last replies are better than first ones, but not surely better than {' or '.join(doubtful)}, "
            f"so this is not shown to be self-correction: {numbers}."
        )
    if missing:
        return f"{_when(stage)}, last replies are better than first ones: {numbers}. Not compared with {' or '.join(missing)}."
    every = "all three" if len(controls) > 2 else "both"
    return f"{_when(stage)}, the model corrects itself: {numbers}, and {every} controls stay below."


def _with_oracle(stage: Stage, K: int) -> str:
    first, found = stage.estimate("m1@t1"), stage.estimate(f"p1@t{K}")
    return (
        f"{_when(stage)}, with an oracle that ends a run when it is right, {percent(found.value)}\u00a0% of problems are solved "
        f"within {K} turns and {percent(first.value)}\u00a0% at the first (n = {count(first.n)}). This cannot fall with turns, "
        "so it is no evidence of self-correction."
    )


def _vote(stage: Stage, K: int, S: int) -> str:
    gain = stage.estimate("paired", f"m1@t{K}-m{S}@t1")
    sequential, parallel = stage.estimate(f"m1@t{K}"), stage.estimate(f"m{S}@t1")
    side = sign(gain)
    if side is None:
        return ""
    cost = "At equal numbers of samples" if K == S else f"With {K} turns against {S} samples"
    if taken := turns_taken(stage):
        cost = f"With {taken}, ended by the model's own verdict, against {S} samples"
    says = {
        "above": "a vote over the turns beats a vote over parallel samples",
        "below": "a vote over the turns loses to a vote over parallel samples",
        "includes zero": "neither vote, over turns or over parallel samples, is surely better",
    }[side]
    zero = "; the interval includes zero" if side == "includes zero" else ""
    numbers = f"{percent(sequential.value)}\u00a0% against {percent(parallel.value)}\u00a0%"
    return f"{cost}, {says}: {numbers}, {points(gain.value)} points ({points_interval(gain)}{zero})."


def _when(stage: Stage) -> str:
    return "Before any training" if stage.name == "base" else f"After {stage.title}"
