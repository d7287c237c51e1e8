"""Weights by comparison: each reply against the others drawn in its place, with what became of it in later turns.

Multi-attempt RL (arXiv 2503.04808), UFO (2507.14295), MURPHY (2511.07833) and SCoRe (2409.12917) as settings of one rule; the
advantage of a group is GRPO's (2402.03300). Equations: docs/beyond.md.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field

from rise.dataset.build import State, example_of, judged_reward, unfit
from rise.dataset.example import Example
from rise.trajectory import Message, Relabelled, Trajectory, Turn


@dataclass(eq=False, slots=True)
class Drawn:
    """One reply of the student, at one state."""

    trajectory: Trajectory
    """The trajectory whose first `k` turns were shown."""
    k: int
    turn: Turn
    later: list[Drawn] = field(default_factory=list)
    """The replies drawn at the state that this one led to."""
    value: float = 0.0
    """Its reward and what its later turns earned, as `credit` says."""

    @property
    def is_open(self) -> bool:
        """Whether nobody knows what would have come of it: it is not right, and nothing was drawn after it."""
        return not self.later and not self.turn.right

    @property
    def repeats(self) -> bool:
        """Whether it is wrong and gives an answer again that stands among the attempts shown, letter by letter."""
        said = [_answer(turn) for turn in self.trajectory.turns[: self.k]]
        return not self.turn.right and _answer(self.turn) in said


def _answer(turn: Turn) -> str:
    return turn.reply.strip() if turn.answer is None else turn.answer


@dataclass(frozen=True, slots=True)
class Comparison:
    """How replies are compared: the fields of [advantage] in a recipe, where each has its sentence."""

    group: str
    scale: str
    gamma: float
    credit: str
    repeat_penalty: float
    progress: float
    kl: float
    hold_rounds: int
    hold_kl: float


GROUPS: dict[str, Callable[[Drawn, tuple[Message, ...]], Hashable]] = {
    "turn": lambda drawn, prompt: drawn.k,
    "state": lambda drawn, prompt: prompt,
}
"""The values of `advantage.group`: (reply, what it was shown) → which replies to the same problem it is compared with."""


def best_later(reward: float, later: Sequence[float], gamma: float) -> float:
    """max(r, γ · the best later value). MURPHY's max; with γ = ½ and right = 1 it is UFO's 1/2ᵗ, t turns before the right one.

    >>> best_later(0.0, [0.0, 1.0], 0.5), best_later(1.0, [1.0], 0.5)
    (0.5, 1.0)
    """
    return max(reward, gamma * max(later))


def mean_later(reward: float, later: Sequence[float], gamma: float) -> float:
    """r + γ · the mean of the later values: the discounted return.

    >>> mean_later(0.0, [0.0, 1.0], 0.5), mean_later(1.0, [1.0], 0.5)
    (0.25, 1.5)
    """
    return reward + gamma * sum(later) / len(later)


CREDITS: dict[str, Callable[[float, Sequence[float], float], float]] = {"max": best_later, "mean": mean_later}
"""The values of `advantage.credit`."""


def in_deviations(returns: Sequence[float]) -> list[float]:
    """(R − mean) / standard deviation, that of the group as a whole; all 0 where all are equal. GRPO.

    >>> in_deviations([1.0, 0.0, 0.0, 1.0]), in_deviations([1.0, 1.0])
    ([1.0, -1.0, -1.0, 1.0], [0.0, 0.0])
    """
    centred = less_mean(returns)
    deviation = (sum(value * value for value in centred) / len(centred)) ** 0.5
    return [value / deviation for value in centred] if deviation > TINY else [0.0] * len(centred)


def less_mean(returns: Sequence[float]) -> list[float]:
    """R − mean: without the division, which makes much of a group whose returns are nearly equal (2503.20783).

    >>> less_mean([1.0, 0.0, 0.0, 0.0])
    [0.75, -0.25, -0.25, -0.25]
    """
    mean = sum(returns) / len(returns)
    return [value - mean for value in returns]


SCALES: dict[str, Callable[[Sequence[float]], list[float]]] = {"std": in_deviations, "none": less_mean}
"""The values of `advantage.scale`."""

TINY = 1e-9
"""A deviation below this is the rounding of equal returns."""


def advantage_examples(
    trajectories: Sequence[Trajectory],
    relabelled: Sequence[Relabelled],
    state: State,
    settings: Comparison,
    *,
    round_number: int = 1,
    clip: float | None = None,
    drop_truncated: bool = True,
) -> tuple[list[Example], Counter[str], Counter[str]]:
    """(examples whose weight is an advantage, what was dropped by reason, other counts).

    Every reply the student drew is one example: its turns, and the samples of `relabel.improver = "self"` at their states,
    whichever of them was chosen. Repeats of a reply stay: how often it was drawn is what its probability is. A cut reply is
    in its group's mean, whether or not it trains.

    In the first `settings.hold_rounds` rounds first turns have no advantage and are held to the reference by `hold_kl`, the
    others not at all (SCoRe's stage I); after them every example is held by `kl`.
    """
    dropped: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    examples: list[Example] = []
    hold = round_number <= settings.hold_rounds
    by_problem: dict[str, list[Drawn]] = defaultdict(list)
    for drawn in all_drawn(trajectories, relabelled):
        by_problem[drawn.trajectory.problem_id].append(drawn)
    for problem_id, every in by_problem.items():
        prompts = {id(drawn): state(drawn.trajectory, drawn.k) for drawn in every}
        groups = _groups(every, prompts, settings.group)
        _value(groups, settings, counts)
        for group in groups:
            if len(group) == 1:
                dropped["nothing to compare it with"] += 1
                continue
            for drawn, advantage in zip(group, SCALES[settings.scale]([_return(d, settings, hold) for d in group]), strict=True):
                if reason := unfit(drawn.turn, drop_truncated):
                    dropped[reason] += 1
                    continue
                first = hold and drawn.k == 0
                weight = 0.0 if first else advantage if clip is None else max(-clip, min(clip, advantage))
                kl = (settings.hold_kl if first else 0.0) if hold else settings.kl
                if weight == 0 and kl == 0:
                    dropped["as good as the others it is compared with"] += 1
                    continue
                examples.append(example_of(problem_id, drawn.k, drawn.turn, prompts[id(drawn)], weight, kl=kl))
    counts["replies pulled up"] = sum(example.weight > 0 for example in examples)
    counts["replies pushed down"] = sum(example.weight < 0 for example in examples)
    return examples, dropped, counts


def all_drawn(trajectories: Iterable[Trajectory], relabelled: Iterable[Relabelled]) -> list[Drawn]:
    """Every judged reply of the student, each knowing those drawn after it. What an endpoint refused is none."""
    found = []
    turns: dict[tuple[str, int, int], Drawn] = {}
    for trajectory in trajectories:
        for k, turn in enumerate(trajectory.turns):
            if turn.finish == "refused":
                break  # what came after it was shown nothing of the student's
            drawn = Drawn(trajectory, k, turn)
            turns[trajectory.problem_id, trajectory.sample, k] = drawn
            if k:
                turns[trajectory.problem_id, trajectory.sample, k - 1].later.append(drawn)
            found.append(drawn)
    for item in relabelled:
        before = turns.get((item.problem_id, item.sample, item.turn - 1))
        for turn in item.candidates:
            if before is not None and turn.finish != "refused":
                drawn = Drawn(before.trajectory, item.turn, turn)
                before.later.append(drawn)
                found.append(drawn)
    return found


def _groups(every: Sequence[Drawn], prompts: dict[int, tuple[Message, ...]], rule: str) -> list[list[Drawn]]:
    """The replies to one problem by what they are compared with, later turns last."""
    groups: dict[Hashable, list[Drawn]] = defaultdict(list)
    for drawn in every:
        groups[drawn.k, GROUPS[rule](drawn, prompts[id(drawn)])].append(drawn)
    return sorted(groups.values(), key=lambda group: group[0].k)


def _value(groups: Sequence[Sequence[Drawn]], settings: Comparison, counts: Counter[str]) -> None:
    """Set the value of every reply, from the last turn to the first.

    Where some replies of a group were followed up and others that are not right were not, none is given its later turns: those
    would have had a chance more. So it is where some of the right ones were and earn more by it, and others were not.
    """
    for group in reversed(groups):
        own = [judged_reward(drawn.turn) for drawn in group]
        earned = [
            CREDITS[settings.credit](reward, [after.value for after in drawn.later], settings.gamma) if drawn.later else reward
            for drawn, reward in zip(group, own, strict=True)
        ]
        rises = any(drawn.turn.right and more > reward for drawn, reward, more in zip(group, own, earned, strict=True))
        alone = any(drawn.turn.right and not drawn.later for drawn in group)
        alike = not any(drawn.is_open for drawn in group) and not (rises and alone)
        if not alike and settings.gamma and any(drawn.later for drawn in group):
            counts["groups whose later turns do not count"] += 1
        for drawn, value in zip(group, earned if settings.gamma and alike else own, strict=True):
            drawn.value = value


def _return(drawn: Drawn, settings: Comparison, hold: bool) -> float:
    """What a reply is compared by: its value, what it gained on the attempt before it, less the penalty of a repeat.

    Neither of the last two is passed on to earlier turns: a first reply would gain by being wrong. `hold`: the round is one of
    `hold_rounds`, whose second turns are paid for being right alone (SCoRe's stage I has no bonus).
    """
    total = drawn.value
    if settings.progress and drawn.k and not hold:
        total += settings.progress * (judged_reward(drawn.turn) - judged_reward(drawn.trajectory.turns[drawn.k - 1]))
    return total - settings.repeat_penalty if drawn.repeats else total
