"""Trajectories and improved replies → weighted examples, with a count of everything that was left out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from rise.dataset.example import Example
from rise.dataset.keep import keep
from rise.dataset.weigh import mean_one, raw_weight
from rise.errors import DataError
from rise.trajectory import Message, Relabelled, Trajectory, Turn

State = Callable[[Trajectory, int], tuple[Message, ...]]
"""(trajectory, number of attempts) → the messages of that state."""


def build_examples(
    trajectories: Sequence[Trajectory],
    relabelled: Sequence[Relabelled],
    state: State,
    *,
    rule: str = "all",
    trained_turns: str = "all",
    weigh: str = "exp",
    temperature: float = 0.4,
    centre: bool = False,
    restate: float = 1.0,
    clip: float | None = None,
    drop_truncated: bool = True,
    deduplicate: bool = True,
    drop_repeated_answers: bool = False,
    per_problem: int | None = None,
) -> tuple[list[Example], Counter[str], Counter[str]]:
    """(examples with raw weights, what was dropped by reason, other counts).

    Each improved reply ends a branch: the student's turns up to its state, then the reply. The keep rule looks at
    one branch at a time; a turn shared by several branches becomes one example if any of them keeps it. Centring,
    repeats and `per_problem` look at all trajectories of a problem together.

    The settings are those of [keep], [weigh] and [dataset] in a recipe, with the same defaults. RISE §4.2, eq. 4.6.
    Raises `DataError` for an unjudged reply and `ConfigError` for a weight that overflows or a rule that does not exist.
    """
    dropped: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    improved_by: dict[tuple[str, int], list[Relabelled]] = defaultdict(list)
    for item in relabelled:
        improved_by[item.problem_id, item.sample].append(item)
    by_problem: dict[str, list[Trajectory]] = defaultdict(list)
    for trajectory in trajectories:
        by_problem[trajectory.problem_id].append(trajectory)

    examples: list[Example] = []
    for problem_id, tried in by_problem.items():
        branches = [(trajectory, improved_by[problem_id, trajectory.sample]) for trajectory in tried]
        baseline = _baseline(branches, counts) if centre else 0.0
        found: list[Example] = []
        for trajectory, improved in branches:
            for k, turn in _kept(trajectory, improved, rule, trained_turns, dropped, counts):
                reason = unfit(turn, drop_truncated)
                if not reason and drop_repeated_answers and _tried(turn, trajectory.turns[:k]):
                    reason = "a wrong answer again"
                if reason:
                    dropped[reason] += 1
                    continue
                weight = raw_weight(judged_reward(turn), weigh, temperature=temperature, baseline=baseline, clip=clip)
                weight *= restate if turn.source == "restate" else 1
                found.append(example_of(problem_id, k, turn, state(trajectory, k), weight))
        if deduplicate:
            found = without_repeats(found, dropped)
        examples += _heaviest(found, per_problem, dropped)
    dropped["weight 0"] += sum(example.weight == 0 for example in examples)
    return [example for example in examples if example.weight != 0], dropped, counts


def example_of(problem_id: str, k: int, turn: Turn, prompt: tuple[Message, ...], weight: float, *, kl: float = 0.0) -> Example:
    """A judged reply as an example, behind k attempts that `prompt` shows."""
    return Example(
        problem_id=problem_id,
        turn=k,
        prompt=prompt,
        reply=turn.reply,
        source=turn.source,
        reward=judged_reward(turn),
        weight=weight,
        prompt_ids=turn.prompt_ids or (),
        reply_ids=turn.reply_ids or (),
        finish=turn.finish,
        verdict=turn.verdict,
        kl=kl,
        own_check=turn.own_check,
    )


def _tried(turn: Turn, attempts: Sequence[Turn]) -> bool:
    """Whether a reply is not right and says again what an attempt before it said."""
    return not turn.right and turn.answer is not None and turn.answer in {attempt.answer for attempt in attempts}


def _heaviest(examples: list[Example], n: int | None, dropped: Counter[str]) -> list[Example]:
    """At most `n` examples of one problem, those with the largest weights, in order of turns; others are counted."""
    if n is None or len(examples) <= n:
        return examples
    dropped["more than per_problem"] += len(examples) - n
    return sorted(sorted(examples, key=lambda e: -abs(e.weight))[:n], key=lambda e: e.turn)


def _baseline(branches: Sequence[tuple[Trajectory, Sequence[Relabelled]]], counts: Counter[str]) -> float:
    """Mean reward of all judged replies to one problem, replies that were sampled and not chosen included. RISE §4.2."""
    # An attempt restated, or a reply paired with another attempt, is one reply, not two; a refusal is none.
    candidates = [c for _, improved in branches for item in improved for c in item.candidates]
    new = [c for c in candidates if c.source not in ("restate", "pair") and c.finish != "refused"]
    judged = [reward for t, _ in branches for reward in t.rewards] + [c.reward for c in new if c.reward is not None]
    if len(judged) == 1:
        counts["problems with one judged reply"] += 1
    return sum(judged) / len(judged)


def _kept(
    trajectory: Trajectory,
    improved: Sequence[Relabelled],
    rule: str,
    trained_turns: str,
    dropped: Counter[str],
    counts: Counter[str],
) -> list[tuple[int, Turn]]:
    """(number of attempts before it, turn) for every reply that trains, of one trajectory and its improved replies."""
    branches = [(*trajectory.turns[: item.turn], item.reply) for item in improved] or [trajectory.turns]
    if improved and max(item.turn for item in improved) < len(trajectory.turns):
        branches.append(trajectory.turns)  # the student's last turns, where no improved state holds them
    kept: dict[tuple[int, int], Turn] = {}
    passed: set[tuple[int, int]] = set()
    seen: dict[tuple[int, int], Turn] = {}
    for number, branch in enumerate(branches):
        flags = keep([judged_reward(turn) for turn in branch], rule, right_K=[turn.right for turn in branch])
        for k, (turn, flag) in enumerate(zip(branch, flags, strict=True)):
            improver = number < len(improved) and k == len(branch) - 1
            place = (k, number if improver else -1)
            seen[place] = turn
            if flag:
                passed.add(place)
                if improver or trained_turns == "all":
                    kept[place] = turn
    counts["judged replies"] += len(seen)
    dropped["keep rule"] += len(seen) - len(passed)
    dropped["keep.trained_turns"] += len(passed) - len(kept)
    return [(k, turn) for (k, _), turn in sorted(kept.items(), key=lambda item: item[0])]


def unfit(turn: Turn, drop_truncated: bool) -> str:
    """Why a reply that the keep rule kept cannot train; "" if it can."""
    if turn.finish == "refused":
        return "refused by the endpoint"
    if turn.finish != "stop" and drop_truncated:
        return "cut at the token limit"
    if turn.source == "teacher" and not turn.reply.strip():
        return "empty reply of the teacher"
    return ""


def judged_reward(turn: Turn) -> float:
    """The reward of a judged reply. Raises `DataError` for one that no judge has seen."""
    if turn.reward is None:
        raise DataError("an unjudged reply cannot become an example; run the judge on it first.")
    return turn.reward


def without_repeats(examples: Sequence[Example], dropped: Counter[str]) -> list[Example]:
    """The first of each (state, reply); the others are counted."""
    seen: set[tuple[Any, ...]] = set()
    out = []
    for example in examples:
        key = (example.prompt, example.reply.strip())
        if key in seen:
            dropped["repeat of the same reply"] += 1
            continue
        seen.add(key)
        out.append(example)
    return out


def with_ids(examples: Iterable[Example], renderer: Any, *, max_length: int, dropped: Counter[str]) -> list[Example]:
    """Examples with token ids, rendered where the reply came as text. Too long ones are dropped and counted."""
    out = []
    for example in examples:
        prompt_ids = example.prompt_ids or renderer.prompt_ids(example.prompt)
        reply_ids = example.reply_ids or renderer.reply_ids(example.prompt, example.reply)
        if not example.reply_ids and example.finish != "stop":
            reply_ids = reply_ids[:-1]  # it was cut, so its end is not a target
        rejected_ids = example.rejected_ids
        if example.rejected is not None and not rejected_ids:
            rejected_ids = renderer.reply_ids(example.prompt, example.rejected)
        if not reply_ids:  # cut at the limit before its first token
            dropped["no token to train on"] += 1
            continue
        if len(prompt_ids) + max(len(reply_ids), len(rejected_ids)) > max_length:
            dropped["longer than train.max_length"] += 1
            continue
        if example.teacher_prompt and len(renderer.prompt_ids(example.teacher_prompt)) + len(reply_ids) > max_length:
            dropped["its teacher is shown more than train.max_length"] += 1
            continue
        out.append(replace(example, prompt_ids=prompt_ids, reply_ids=reply_ids, rejected_ids=rejected_ids))
    return out


def scaled(examples: Sequence[Example], scale: str) -> list[Example]:
    """Weights scaled once over the data set (`mean-one`), or left as they are (`raw`)."""
    if scale == "raw":
        return list(examples)
    weights = mean_one([example.weight for example in examples])
    return [replace(example, weight=weight) for example, weight in zip(examples, weights, strict=True)]
