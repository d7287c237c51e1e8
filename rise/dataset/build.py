"""Trajectories and improved replies → weighted examples, with a count of everything that was left out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from rise.dataset.keep import KeepRule, keep
from rise.dataset.weigh import effective_sample_size, mean_one, reward_weight
from rise.errors import ConfigError, DataError, EmptyStageError
from rise.jsonl import read_jsonl
from rise.trajectory import Message, Relabelled, Trajectory, Turn, Verdict


@dataclass(frozen=True, slots=True)
class Example:
    """What we train on: a state, a reply, and how strongly to imitate it."""

    problem_id: str
    turn: int
    """Number of attempts in the state."""
    prompt: tuple[Message, ...]
    reply: str
    source: str
    """Who wrote the reply: student, self, teacher, gold, pair, restate, solution."""
    reward: float
    weight: float
    prompt_ids: tuple[int, ...]
    reply_ids: tuple[int, ...]
    """Token ids as sampled, or rendered where somebody else wrote the reply."""
    finish: str = "stop"
    """`length`: cut at the token limit, so no end is trained."""
    verdict: Verdict | None = None
    """What the judge said of the reply; None in files of before this was recorded."""


@dataclass(frozen=True, slots=True)
class DatasetReport:
    """What a data set holds and what it does not; written as dataset.json."""

    n_examples: int
    dropped: dict[str, int]
    by_source: dict[str, int]
    rewards: list[tuple[float, int]]
    weights: list[tuple[float, int]]
    effective_sample_size: float
    n_trained_tokens: int
    counts: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        return {
            "n_examples": self.n_examples,
            "n_trained_tokens": self.n_trained_tokens,
            "dropped": self.dropped,
            "by_source": self.by_source,
            "rewards": [list(pair) for pair in self.rewards],
            "weights": {
                "n": self.n_examples,
                "effective_sample_size": self.effective_sample_size,
                "values": [list(pair) for pair in self.weights],
            },
            "counts": self.counts,
        }


WeighRule = Literal["exp", "equal"]
"""exp(reward / τ), or one weight for all: plain supervised fine-tuning."""

State = Callable[[Trajectory, int], tuple[Message, ...]]
"""(trajectory, number of attempts) → the messages of that state."""


def build_examples(
    trajectories: Sequence[Trajectory],
    relabelled: Sequence[Relabelled],
    state: State,
    *,
    rule: KeepRule = "all",
    trained_turns: str = "all",
    weigh: WeighRule = "exp",
    temperature: float = 0.4,
    centre: bool = False,
    clip: float | None = None,
    drop_truncated: bool = True,
    deduplicate: bool = True,
    per_problem: int | None = None,
) -> tuple[list[Example], Counter[str], Counter[str]]:
    """(examples with raw weights, what was dropped by reason, other counts).

    Each improved reply closes a branch: the student's turns up to its state, then the reply. The keep rule looks at
    one branch at a time; a turn shared by several branches becomes one example if any of them keeps it. Centring,
    repeats and `per_problem` look at all trajectories of a problem together.
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
    for problem_id, own_trajectories in by_problem.items():
        baseline = 0.0
        if centre:
            baseline, n_judged = _baseline(own_trajectories, [improved_by[problem_id, t.sample] for t in own_trajectories])
            counts["problems with one judged reply"] += n_judged == 1
        own: list[Example] = []
        for trajectory in own_trajectories:
            kept = _kept(trajectory, improved_by[problem_id, trajectory.sample], rule, trained_turns, dropped, counts)
            for k, turn in kept:
                if reason := _unfit(turn, drop_truncated):
                    dropped[reason] += 1
                    continue
                weight = 1.0 if weigh == "equal" else _weight(turn, temperature, baseline, clip)
                own.append(
                    Example(
                        problem_id,
                        k,
                        state(trajectory, k),
                        turn.reply,
                        turn.source,
                        reward_of(turn),
                        weight,
                        turn.prompt_ids or (),
                        turn.reply_ids or (),
                        turn.finish,
                        turn.verdict,
                    )
                )
        if deduplicate:
            own = without_repeats(own, dropped)
        if per_problem is not None and len(own) > per_problem:
            dropped["more than per_problem"] += len(own) - per_problem
            own = sorted(sorted(own, key=lambda e: -e.weight)[:per_problem], key=lambda e: e.turn)
        examples += own
    dropped["weight 0"] += sum(example.weight == 0 for example in examples)
    examples = [example for example in examples if example.weight > 0]
    return examples, dropped, counts


def _baseline(trajectories: Sequence[Trajectory], improved: Sequence[Sequence[Relabelled]]) -> tuple[float, int]:
    """(mean reward of all judged replies to one problem, how many they are); what was not chosen counts too."""
    # An attempt restated, or a reply set behind another attempt, is one reply, not two; a refusal is none.
    candidates = [c for items in improved for item in items for c in item.candidates]
    new = [c for c in candidates if c.source not in ("restate", "pair") and c.finish != "refused"]
    judged = [reward for t in trajectories for reward in t.rewards] + [c.reward for c in new if c.reward is not None]
    return sum(judged) / len(judged), len(judged)


def _kept(
    trajectory: Trajectory,
    improved: Sequence[Relabelled],
    rule: KeepRule,
    trained_turns: str,
    dropped: Counter[str],
    counts: Counter[str],
) -> list[tuple[int, Turn]]:
    """(attempts before it, turn) of every reply of one trajectory and its branches that trains."""
    branches = [(*trajectory.turns[: item.turn], item.reply) for item in improved] or [trajectory.turns]
    if improved and max(item.turn for item in improved) < len(trajectory.turns):
        branches.append(trajectory.turns)  # the student's last turns, where no improved state holds them
    kept: dict[tuple[int, int], Turn] = {}
    passed: set[tuple[int, int]] = set()
    seen: dict[tuple[int, int], Turn] = {}
    for number, branch in enumerate(branches):
        flags = keep([reward_of(turn) for turn in branch], rule, right_K=[turn.right for turn in branch])
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


def _unfit(turn: Turn, drop_truncated: bool) -> str:
    """Why a reply that the keep rule took cannot train; empty if it can."""
    if turn.finish == "refused":
        return "refused by the endpoint"
    if turn.finish != "stop" and drop_truncated:
        return "cut at the token limit"
    if turn.source == "teacher" and not turn.reply.strip():
        return "empty reply of the teacher"
    return ""


def _weight(turn: Turn, temperature: float, baseline: float, clip: float | None) -> float:
    try:
        return reward_weight(reward_of(turn), temperature, baseline=baseline, clip=clip)
    except OverflowError:
        raise ConfigError(
            f"exp(reward / temperature) is too large for reward {turn.reward} and weigh.temperature = {temperature}. "
            "Raise weigh.temperature; the paper's is 0.4."
        ) from None


def reward_of(turn: Turn) -> float:
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
            reply_ids = reply_ids[:-1]  # it did not end by itself, so the end is no target
        if not reply_ids:  # cut at the limit before anything was said
            dropped["no token to train on"] += 1
            continue
        if len(prompt_ids) + len(reply_ids) > max_length:
            dropped["longer than train.max_length"] += 1
            continue
        out.append(replace(example, prompt_ids=prompt_ids, reply_ids=reply_ids))
    return out


def scaled(examples: Sequence[Example], scale: str) -> list[Example]:
    """Weights scaled once over the data set (`mean-one`), or left as they are (`raw`)."""
    if scale == "raw":
        return list(examples)
    weights = mean_one([example.weight for example in examples])
    return [replace(example, weight=weight) for example, weight in zip(examples, weights, strict=True)]


def report(examples: Sequence[Example], dropped: Counter[str], counts: Counter[str]) -> DatasetReport:
    """Counts for dataset.json. Raises `EmptyStageError` if nothing is left to train on."""
    if not examples:
        reasons = ", ".join(f"{n} by {name}" for name, n in dropped.items() if n) or "none was offered"
        raise EmptyStageError(
            f"no example is left to train on ({reasons}). Loosen keep.rule, raise rollout.n_problems or relabel.n_samples, "
            "or raise sampling.max_new_tokens if replies were cut."
        )
    weights = [example.weight for example in examples]
    return DatasetReport(
        n_examples=len(examples),
        dropped={name: n for name, n in sorted(dropped.items()) if n},
        by_source=dict(sorted(Counter(f"{e.source}, {'right' if _right(e) else 'not right'}" for e in examples).items())),
        rewards=sorted(Counter(example.reward for example in examples).items()),
        weights=sorted(Counter(round(weight, 6) for weight in weights).items()),
        effective_sample_size=round(effective_sample_size(weights), 2),
        n_trained_tokens=sum(len(example.reply_ids) for example in examples),
        counts={name: n for name, n in sorted(counts.items()) if n},
    )


def _right(example: Example) -> bool:
    return example.verdict is Verdict.RIGHT if example.verdict is not None else example.reward >= 1


def example_from_json(data: dict[str, Any]) -> Example:
    return Example(
        **{
            **data,
            "prompt": tuple(Message(**m) for m in data["prompt"]),
            "prompt_ids": tuple(data["prompt_ids"]),
            "reply_ids": tuple(data["reply_ids"]),
            "verdict": Verdict(data["verdict"]) if data.get("verdict") else None,
        }
    )


def read_examples(path: Path) -> Iterator[Example]:
    """Examples of a file; a line that is not one raises `DataError` with file and line number."""
    for number, data in read_jsonl(path):
        try:
            yield example_from_json(data)
        except (TypeError, KeyError, ValueError) as error:
            raise DataError(f"{path}, line {number}: not an example ({error}). Was the file written by `rise`?") from error
