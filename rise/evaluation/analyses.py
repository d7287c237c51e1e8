"""What the paper looks at beside its tables: hard problems, and how probable the right solution becomes. RISE §6, figures 4, 5 †.

Defined in docs/metrics.md. † Section and figure numbers are recalled, not checked against the paper.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from rise.errors import ConfigError
from rise.evaluation.headline import as_read
from rise.evaluation.held_out import HeldOut
from rise.evaluation.uncertainty import NOTHING, Estimate, mean, paired_difference, ratio
from rise.play.player import Player
from rise.task import Problem


async def with_gold_scores(player: Player, problems: Sequence[Problem], records: Sequence[HeldOut]) -> list[HeldOut]:
    """The records with the mean log-probability per token of the worked solution (of gold, where there is none) at every turn.

    A problem whose solution does not fit behind its longest state stays without. Raises `ConfigError` where the policy
    gives no log-probabilities.
    """
    if not player.policy.scores or player.renderer is None:
        raise ConfigError(
            f"evaluate.gold_probability needs the log-probabilities of a given reply, which {player.policy.name} does not "
            "give. Evaluate a local: policy, or leave it off."
        )
    limit = player.policy.max_length or math.inf
    prompts, replies, sizes = [], [], []
    for problem, record in zip(problems, records, strict=True):
        states = [player.prompt.messages(problem, record.run[:k]) for k in range(len(record.run))]
        text = problem.gold if problem.solution is None else problem.solution
        pairs = [(player.renderer.prompt_ids(state), player.renderer.reply_ids(state, text)) for state in states]
        fits = all(len(prompt) + len(reply) <= limit for prompt, reply in pairs)
        sizes.append(len(pairs) if fits else 0)
        prompts += [prompt for prompt, _ in pairs] if fits else []
        replies += [reply for _, reply in pairs] if fits else []
    found = iter(await player.policy.score(prompts, replies))
    out = []
    for record, size in zip(records, sizes, strict=True):
        by_turn = [next(found) for _ in range(size)]
        out.append(dataclasses.replace(record, gold_score=tuple(round(sum(tokens) / len(tokens), 6) for tokens in by_turn)))
    return out


async def first_reply_weights(player: Player, problems: Sequence[Problem], records: Sequence[HeldOut]) -> dict[str, list[float]]:
    """Problem → geometric mean of the tokens' probabilities of each parallel reply, by the policy that wrote them."""
    renderer, by_id = player.renderer, {problem.id: problem for problem in problems}
    prompts, replies = [], []
    for record in records:
        state = player.prompt.messages(by_id[record.problem_id], [])
        for turn in record.parallel:
            prompts.append(renderer.prompt_ids(state))
            replies.append(turn.reply_ids or renderer.reply_ids(state, turn.reply))
    found = iter(await player.policy.score(prompts, replies))
    return {r.problem_id: [_geometric(next(found)) for _ in r.parallel] for r in records}


def _geometric(log_probabilities: Sequence[float]) -> float:
    return math.exp(sum(log_probabilities) / max(1, len(log_probabilities)))


def analyse(records: Sequence[HeldOut], turns: int, truthful: bool = False) -> dict[str, Any]:
    """`hard_problems` and `gold_probability` of metrics.json; the second is null where nothing was scored.

    `truthful`: a run is read only up to its first right reply, as the headline metrics read it.
    """
    records = [as_read(record, truthful) for record in records]
    return {"hard_problems": hard_problems(records, turns), "gold_probability": gold_probability(records, turns)}


def hard_problems(records: Sequence[HeldOut], turns: int) -> list[dict[str, Any]]:
    """For B = 1, 2, … parallel samples: the problems that all B miss, and what becomes of them in one run of `turns` turns.

    `resampled` is the fair rival: as many further samples as the run has further turns. Null where fewer were drawn.
    """
    solved = np.array([any(turn.right for turn in record.run) for record in records], dtype=float)
    last = np.array([record.run[-1].right for record in records], dtype=float)
    right_PS = np.array([[turn.right for turn in record.parallel] for record in records], dtype=float)
    out = []
    for b in range(1, right_PS.shape[1] + 1):
        missed = 1.0 - right_PS[:, :b].max(axis=1)
        again = right_PS[:, b : b + turns - 1]
        enough = again.shape[1] == turns - 1 > 0
        out.append(
            {
                "samples": b,
                "missed": mean(missed).to_json(),
                "solved": ratio(missed * solved, missed).to_json(),
                "last": ratio(missed * last, missed).to_json(),
                "resampled": (ratio(missed * again.max(axis=1), missed) if enough else NOTHING).to_json(),
            }
        )
    return out


def gold_probability(records: Sequence[HeldOut], turns: int) -> dict[str, Any] | None:
    """Geometric mean over its tokens of the probability of the worked solution, by turn: a number from 0 to 1 a problem.

    `not_solved_yet` compares turn k with turn 1 on the problems whose replies at turns 1 … k−1 were all wrong: where a right
    attempt is shown, the solution is probable because it can be copied.
    """
    scored = [record for record in records if record.gold_score]
    if not scored:
        return None
    by_turn: list[Estimate] = []
    unsolved: list[Estimate] = []
    for k in range(turns):
        there = [record for record in scored if len(record.gold_score) > k]  # an oracle may have ended the others
        by_turn.append(mean([math.exp(record.gold_score[k]) for record in there]) if there else NOTHING)
        wrong = [record for record in there if not any(turn.right for turn in record.run[:k])]
        now, first = ([math.exp(record.gold_score[at]) for record in wrong] for at in (k, 0))
        unsolved.append(paired_difference(now, first))
    return {"by_turn": [e.to_json() for e in by_turn], "not_solved_yet": [e.to_json() for e in unsolved[1:]]}
