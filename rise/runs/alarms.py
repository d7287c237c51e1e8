"""What is so wrong with replies that no number of the run means much. Decided here alone, as soon as the replies are there.

A run tells its alarms to whoever follows it and writes them into metrics.jsonl, where the report finds them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rise.dataset.example import Example
from rise.recipe.config import RewardConfig, RunConfig
from rise.runs import stages
from rise.trajectory import Relabelled, Trajectory, Turn, Verdict

UNREADABLE_SHARE = 0.2
"""A reply without a readable answer counts as wrong whatever it found. At a fifth of them the form of replies hides more than
the 10 to 20 points that rounds are hoped to bring."""
CUT_SHARE = 0.1
"""A reply that is cut counts as wrong and does not train, so what trains leans to short replies. At a tenth of them that is
more than what the interval of 500 problems (± 4 points) would show."""
FALSE_YES_SHARE = 0.5
"""A wrong reply that says it is right is kept by every later turn. Where half of them say so, turns can mend the others alone."""
ONE_SIDED = 20
"""So many examples at least that hold their own check, before it is said that they all say the same."""
FEWEST = 5
"""So many such replies at least: two unlucky ones of a toy's eight say nothing."""
FEW_PROBLEMS = 100
"""Below so many held-out problems the 95 % interval of a share near a half is wider than ± 10 points: wider than most gains."""

Kind = Literal["empty", "unreadable", "cut", "nothing-right", "false-yes", "one-sided-check"]


@dataclass(frozen=True, slots=True)
class Alarm:
    """One thing that is wrong, said so that a person can act on it."""

    stage: str
    part: str
    kind: Kind
    says: str
    """The trouble with its counts."""
    way_out: str
    """Which setting changes it."""
    example: str | None = None
    """One such reply, shortened, otherwise as the model wrote it; None where there is none to show."""


def of_replies(stage: str, part: str, turns: Iterable[Turn], config: RunConfig) -> list[Alarm]:
    """Alarms over the replies of one part. What an endpoint refused, or nobody has judged, is left out.

    While a boost is still to teach the form of an answer, nothing is said but that all replies are empty: that the model cannot
    do it is why there is one.
    """
    looked = [turn for turn in turns if turn.finish != "refused" and turn.verdict is not None]
    if looked and all(turn.finish == "stop" and not turn.reply.strip() for turn in looked):
        says = f"all of {len(looked)} replies ended by themselves and hold nothing."
        return [Alarm(stage, part, "empty", says, EMPTY)]
    if _boost_to_come(config, stage):
        return []
    cut = [turn for turn in looked if turn.finish == "length"]
    unreadable = [turn for turn in looked if turn.verdict is Verdict.UNPARSABLE]
    found = []
    if _many(unreadable, looked, UNREADABLE_SHARE):
        both = sum(turn.finish == "length" for turn in unreadable)
        cut_too = f"; {both} of them were cut at the token limit" if both else ""
        says = f"{_share(unreadable, looked)} hold no readable answer{cut_too}."
        out = _longer(config) if 2 * both > len(unreadable) else FORM
        found.append(Alarm(stage, part, "unreadable", says, out, _example(unreadable)))
    if _many(cut, looked, CUT_SHARE):
        dropped = ", and none of those trains" if config.dataset.drop_truncated and part != "evaluate" else ""
        says = f"{_share(cut, looked)} are cut at the limit of {config.sampling.max_new_tokens} tokens{dropped}."
        found.append(Alarm(stage, part, "cut", says, _longer(config), _example(cut)))
    checked = [turn for turn in looked if turn.own_check is not None and not turn.right]
    believed = [turn for turn in checked if turn.own_check]
    if _many(believed, checked, FALSE_YES_SHARE):
        says = f"{_share(believed, checked, 'wrong replies that check themselves')} say that they are right."
        found.append(Alarm(stage, part, "false-yes", says, HONEST, _example(believed)))
    return found


def of_examples(
    stage: str,
    examples: Sequence[Example],
    trajectories: Sequence[Trajectory],
    relabelled: Sequence[Relabelled],
    config: RunConfig,
) -> list[Alarm]:
    """The alarms of a round: none of its own examples is right; all that hold their own check say yes."""
    if any(teaches(example, config.reward) for example in examples):
        return _one_sided(stage, examples)
    attempts = [turn for trajectory in trajectories for turn in trajectory.turns]
    written = [turn for item in relabelled for turn in item.candidates]
    n_right = sum(turn.right for turn in attempts), sum(turn.right for turn in written)
    says = (
        f"none of the {len(examples)} examples of this round is right: {n_right[0]} of {len(attempts)} attempts were, and "
        f"{n_right[1]} of {len(written)} replies of the improver. There is nothing to learn from."
    )
    unreadable = next(iter(of_replies(stage, "relabel", [*attempts, *written], config)), None)
    out = unreadable.way_out if unreadable else BETTER if not sum(n_right) else KEPT
    return [Alarm(stage, "relabel", "nothing-right", says, out, _example(written or attempts))]


def _one_sided(stage: str, examples: Sequence[Example]) -> list[Alarm]:
    """Examples that teach the word of a check, and not when it is true: every one that holds a check says yes."""
    checks = [example for example in examples if example.own_check is not None and example.weight > 0]
    if len(checks) < ONE_SIDED or not all(example.own_check for example in checks):
        return []
    says = (
        f"all {len(checks)} examples that check their own answer say that it is right. The word is then learnt without what "
        "makes it true, and wrong replies come to say it too."
    )
    return [Alarm(stage, "relabel", "one-sided-check", says, HONEST, checks[0].reply)]


def teaches(example: Example, rewards: RewardConfig) -> bool:
    """Whether there is something to learn from a reply: it is right, or has credit above that of a wrong one."""
    return example.right or example.reward > max(rewards.wrong, rewards.unparsable, rewards.timed_out)


def toy_words(n: int) -> str:
    """What is said of a measurement on `n` held-out problems that are too few.

    >>> toy_words(11)
    'A toy: 11 held-out problems. It shows that everything runs; its numbers mean nothing: a share is known to ± 30 points.'
    """
    about = min(50, round(98 / n**0.5)) if n else 50  # half the 95 % interval of a share near a half
    known = f"a share is known to ± {about} points"
    return f"A toy: {n} held-out problems. It shows that everything runs; its numbers mean nothing: {known}."


EMPTY = (
    "A server that cuts thinking off may take the whole reply for it: look whether the words stand in reasoning_content, and "
    "start it without a reasoning parser, or with the one of this model. A model in this process that says nothing has the wrong "
    "chat format (model.chat_format)."
)
FORM = (
    "Say how an answer is marked: state.instructions, or state.demonstration = true for a worked example. Where problems have "
    "worked solutions, boost.enabled = true trains the form. Where the form is right and the judge does not read it, give a "
    "judge that does (docs/guides/no-answer.md)."
)
BETTER = (
    'Raise relabel.n_samples, take easier problems, or let somebody else improve: relabel.improver = "teacher", or "gold" '
    "where problems have worked solutions; boost.enabled = true trains on those first."
)
HONEST = (
    'Let wrong replies that say they are wrong train too, as strongly as right ones: keep.rule = "no-loss" and '
    'weigh.rule = "equal" (docs/results.md, SmolLM2-135M on a search in words).'
)
KEPT = "Some were right and did not come through: look at [keep], at relabel.select and at what dataset.json says was dropped."


def _longer(config: RunConfig) -> str:
    return (
        f"Raise sampling.max_new_tokens (now {config.sampling.max_new_tokens}), or ask for shorter replies: state.instructions. "
        "A model that never ends its replies needs a chat template that closes a turn, or a boost."
    )


def _boost_to_come(config: RunConfig, stage: str) -> bool:
    before = [name for name in stages.expected(config.model_dump()) if not stages.round_number(name)]
    return stage in before[:-1]


def _many(some: Sequence[Turn], of: Sequence[Turn], share: float) -> bool:
    return len(some) >= FEWEST and len(some) >= share * len(of)


def _share(some: Sequence[Turn], of: Sequence[Turn], what: str = "replies") -> str:
    """
    >>> _share([Turn("")] * 3, [Turn("")] * 60)
    '3 of 60 replies (5 %)'
    """
    return f"{len(some)} of {len(of)} {what} ({100 * len(some) / len(of):.0f} %)"


def _example(turns: Sequence[Turn], most: int = 160) -> str | None:
    """The first reply that has words in it, its middle left out where it is long."""
    if not turns:
        return None
    reply = next((turn.reply for turn in turns if turn.reply.strip()), turns[0].reply)
    return reply if len(reply) <= most else f"{reply[: most // 2]} … {reply[-most // 2 :]}"


# --- in the log -------------------------------------------------------------------------------------------------------


def to_event(alarm: Alarm) -> dict[str, Any]:
    """What metrics.jsonl holds of an alarm."""
    return {"alarm": dataclasses.asdict(alarm)}


def read_alarms(log: Iterable[Mapping[str, Any]]) -> list[Alarm]:
    """The alarms of a run's log; of one that was sounded again when the run was continued, the latest."""
    names = {field.name for field in dataclasses.fields(Alarm)}
    found: dict[tuple[str, str, str], Alarm] = {}
    for event in log:
        if isinstance(told := event.get("alarm"), Mapping) and names - {"example"} <= set(told):
            alarm = Alarm(**{name: told.get(name) for name in names})  # type: ignore[arg-type]
            found[alarm.stage, alarm.part, alarm.kind] = alarm
    return list(found.values())


def latest(alarms: Sequence[Alarm]) -> list[tuple[Alarm, tuple[str, ...]]]:
    """Of each kind the last one, and where else it was sounded: a report has one line for what every round says again."""
    out = []
    for kind in dict.fromkeys(alarm.kind for alarm in alarms):
        *earlier, last = (alarm for alarm in alarms if alarm.kind == kind)
        out.append((last, tuple(dict.fromkeys(place(alarm) for alarm in earlier))))
    return out


def place(alarm: Alarm) -> str:
    """Where it was sounded: `round 2, rollout`."""
    return f"{stages.title(alarm.stage)}, {stages.part(alarm.part).title}"
