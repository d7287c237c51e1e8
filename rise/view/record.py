"""One record, as it is shown when opened: its conversation, the vote over its answers, its tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rise.evaluation.vote import Same, group, spokesman, vote
from rise.trajectory import turn_from_json
from rise.view.rows import Kind
from rise.view.tokens import Tokens


def opened(kind: Kind, data: Mapping[str, Any], same: Same, state: Mapping[str, Any] | None, tokens: Tokens) -> dict[str, Any]:
    """The record as the page wants it. `state` is the trajectory an improved reply belongs to.

    Raises `KeyError`, `TypeError` or `ValueError` where the line is none of this kind.
    """
    if kind == "examples":
        return _example(data, tokens)
    if kind == "relabelled":
        return _relabelled(data, state)
    run = data["run"] if kind == "held-out" else data["turns"]
    out: dict[str, Any] = {"problem": _problem(data), "turns": _turns(run), "vote": _vote(run, same)}
    if kind == "held-out":
        parallel = [*run[:1], *data.get("samples", ())]
        out |= {
            "samples": _turns(data.get("samples", ())),
            "other": _turns(data.get("other", ())),
            "internalised": _turns(data.get("internalised", ())),
            "beyond": _turns(data.get("beyond", ())),
            "parallel_vote": _vote(parallel, same) if len(parallel) > 1 else None,
        }
    return out


def _problem(data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": data["problem_id"],
        "question": data.get("question"),
        "gold": data.get("gold"),
        "fields": {str(name): str(value) for name, value in (data.get("fields") or {}).items()},
    }


def _turns(turns: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Without token ids, which say nothing to a reader and weigh more than the rest."""
    plain = [{name: value for name, value in turn.items() if name not in ("prompt_ids", "reply_ids")} for turn in turns]
    for turn in plain:
        if turn.get("critique"):
            turn["critique"] = turn["critique"]["reply"]
        if turn.get("own_verdict"):
            turn["own_verdict"] = turn["own_verdict"].get("verdict")
    return plain


def _vote(turns: Sequence[Mapping[str, Any]], same: Same) -> dict[str, Any]:
    """Groups of equal answers in the order they were first written, and the score of the vote after each turn."""
    read = [turn_from_json(dict(turn)) for turn in turns]
    ballot = group([turn.voted for turn in read], same)
    groups = [
        {
            "answer": found.answer,
            "right": read[spokesman(found, read) - 1].right,
            "turns": found.turns,
            "wins": found in ballot.leaders,
        }
        for found in ballot.groups
    ]
    return {"groups": groups, "scores": vote(read, same)}


def _relabelled(data: Mapping[str, Any], state: Mapping[str, Any] | None) -> dict[str, Any]:
    attempts = int(data["turn"])
    problem = _problem(state) if state else {"id": data["problem_id"], "question": None, "gold": None, "fields": {}}
    return {
        "problem": problem,
        "attempts": attempts,
        "turns": _turns(state["turns"][:attempts]) if state else [],
        "candidates": _turns(data["candidates"]),
        "chosen": int(data["chosen"]),
        "choice": data.get("choice"),
    }


def _example(data: Mapping[str, Any], tokens: Tokens) -> dict[str, Any]:
    pieces = tokens.pieces(data.get("prompt_ids") or (), data.get("reply_ids") or ())
    return {
        "problem": {"id": data["problem_id"], "question": None, "gold": None, "fields": {}},
        "attempts": int(data["turn"]),
        "prompt": [{"role": str(m["role"]), "content": m["content"]} for m in data["prompt"]],
        "reply": data["reply"],
        "rejected": data.get("rejected"),
        "source": data["source"],
        "verdict": data.get("verdict"),
        "reward": data["reward"],
        "weight": data["weight"],
        "finish": data.get("finish", "stop"),
        "n_read": len(data.get("prompt_ids") or ()),
        "n_trained": len(data.get("reply_ids") or ()),
        "pieces": pieces,
        "trouble": None if pieces else tokens.trouble,
    }
