"""Verdicts as examples: after each attempt of the student the word that the judge's verdict calls for.

PAG (arXiv 2506.10406) and SPOC (2506.06923) in their supervised form; equation and departures: docs/beyond.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from rise.dataset.build import judged_reward, without_repeats
from rise.dataset.example import VERDICT, Example
from rise.trajectory import Message, Trajectory, Verdict

Asking = Callable[[Trajectory, int], tuple[Message, ...]]
"""(trajectory, k) → the messages that ask whether its k-th attempt is right."""


def verdict_examples(
    trajectories: Iterable[Trajectory],
    asking: Asking,
    *,
    right: str,
    wrong: str,
    weight: float = 1.0,
    balance: bool = False,
    deduplicate: bool = True,
) -> tuple[list[Example], Counter[str]]:
    """(an example for every attempt that was judged, what was left out by reason). The target is `right` or `wrong`.

    Every turn the student took is asked about, so that a verdict is learnt on attempts of the model's own and as often right as
    they are. `verdict` and `reward` of an example are the attempt's. What took the judge too long is neither; what an endpoint
    refused is no attempt.
    """
    dropped: Counter[str] = Counter()
    found: list[Example] = []
    for trajectory in trajectories:
        for k, turn in enumerate(trajectory.turns, 1):
            if turn.finish == "refused":
                break  # what came after it was shown nothing of the student's
            reward = judged_reward(turn)
            if turn.verdict is Verdict.TIMED_OUT:
                dropped["no verdict to learn: the judge took too long"] += 1
                continue
            word = right if turn.right else wrong
            about = (trajectory.problem_id, k, asking(trajectory, k), word, VERDICT, reward, weight)
            found.append(Example(*about, prompt_ids=(), reply_ids=(), verdict=turn.verdict))
    if deduplicate:
        found = without_repeats(found, dropped)
    return balanced(found) if balance else found, dropped


def balanced(examples: Sequence[Example]) -> list[Example]:
    """Both words with the same weight in sum, the mean as it was; as they are where there is one word alone.

    By hand, one right attempt among four: n/2 over their number is 2 for it, 2/3 for each of the others.
    """
    n_right = sum(example.right for example in examples)
    share = {True: n_right, False: len(examples) - n_right}
    if not all(share.values()):
        return list(examples)
    return [replace(e, weight=e.weight * len(examples) / (2 * share[e.right])) for e in examples]
