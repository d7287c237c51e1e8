"""Whether the model can be shown what a recipe asks for: its context holds the longest state of a run, and its tokenizer has
tokens for the recipe's words. Said before anything is generated, not hours later."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from rise.errors import ConfigError
from rise.play.prompt import Prompt
from rise.recipe.wordings import is_own_feedback
from rise.task import Problem
from rise.trajectory import Turn, Verdict

N_LONGEST = 8
"""Problems that are rendered: those with the longest questions. Rendering tens of thousands would take longer than it saves."""


def check_context(
    prompt: Prompt, renderer: Any, problems: Sequence[Problem], *, limit: int | None, attempts: int, max_new_tokens: int
) -> None:
    """Raise `ConfigError` if a reply after `attempts` full-length ones has no room of `max_new_tokens` below `limit`.

    `limit` is the model's `max_position_embeddings`; None, and a renderer of None, where the endpoint knows and we do not.
    """
    if renderer is not None:
        check_words(prompt, renderer, asks_again=attempts > 0)
    if limit is None or renderer is None or not problems:
        return
    shown = attempts if prompt.window is None else min(prompt.window, attempts)
    longest = sorted(problems, key=lambda problem: -len(problem.question))[:N_LONGEST]
    firsts = [state_length(prompt, renderer, problem, 0, max_new_tokens) for problem in longest]
    first = max(firsts)
    worst = longest[firsts.index(first)]
    if first >= limit:
        raise ConfigError(_too_long(worst, first, limit, sum(n >= limit for n in firsts), len(problems)))
    state = max(state_length(prompt, renderer, p, shown, max_new_tokens) for p in longest)
    if state + max_new_tokens > limit:
        raise ConfigError(
            f"the context is too small: the longest first state has {first} tokens (problem {worst.id}), {shown} attempts shown "
            f"with their feedback have up to {state - first}, and the reply after them may have {max_new_tokens}, in all "
            f"{state + max_new_tokens}; but the model was built for {limit} (max_position_embeddings). Lower "
            f"sampling.max_new_tokens (now {max_new_tokens}), state.window (now "
            f"{'all' if prompt.window is None else prompt.window}), or the turns of rollout and evaluation."
        )
    if prompt.verify is not None and attempts:
        asked = max(verify_length(prompt, renderer, p, attempts, max_new_tokens) for p in longest)
        if asked + prompt.verify.max_new_tokens > limit:
            raise ConfigError(
                f"the context is too small to ask for a verdict: {max(shown, 1)} attempts with state.verify.ask have up to "
                f"{asked} tokens, the verdict may have {prompt.verify.max_new_tokens}, and the model was built for {limit} "
                "(max_position_embeddings). Shorten state.verify.ask, or lower sampling.max_new_tokens or the turns."
            )


def check_words(prompt: Prompt, renderer: Any, *, asks_again: bool = True) -> None:
    """Raise `ConfigError` for feedback in words that the tokenizer has no token for; instructions in such words are said.

    Without `asks_again` no attempt is followed by feedback, so its words do not matter.
    """
    for name, text in prompt.words(asks_again=asks_again).items():
        if unknown := renderer.unknown(text.replace("{question}", "")):
            found = (
                f"state.{name} = {text[:60]!r}: the model's tokenizer has no token for {unknown[:20]!r}, so the model would be "
                "shown its mark for unknown characters. Write it in others."
            )
            if name in ("feedback_text", "critique_text", "verify"):
                raise ConfigError(found)
            warnings.warn(found, stacklevel=2)


def _too_long(problem: Problem, first: int, limit: int, n: int, n_all: int) -> str:
    few = f"{n} of {n_all} problems" if n < N_LONGEST else f"at least {n} of {n_all} problems"
    longest = len(problem.question) * limit // (2 * first)
    return (
        f"problem {problem.id} is too long: its first state has {first} tokens, and the model was built for {limit} "
        f"(max_position_embeddings). It begins {problem.question[:60]!r}; {few} are like that. No setting of the run helps. "
        f"Leave such problems out, task.settings.longest = {longest} (characters of a question, of task jsonl) or by hand, or "
        "take a model with a longer context."
    )


def state_length(prompt: Prompt, renderer: Any, problem: Problem, shown: int, max_new_tokens: int) -> int:
    """Tokens of the state after `shown` replies that all ran to the limit."""
    # One token stands for each reply; the limit allows so many more.
    n_replies = shown * (2 if prompt.refines else 1)
    turns = _attempts(prompt, problem, shown)
    return len(renderer.prompt_ids(prompt.messages(problem, turns))) + n_replies * (max_new_tokens - 1)


def verify_length(prompt: Prompt, renderer: Any, problem: Problem, attempts: int, max_new_tokens: int) -> int:
    """Tokens of what asks for a verdict on the last of so many replies that all ran to the limit."""
    n = attempts if prompt.window is None else min(max(prompt.window, 1), attempts)
    n_replies = (n - 1) * (2 if prompt.refines else 1) + 1
    messages = prompt.verify_messages(problem, _attempts(prompt, problem, n))
    return len(renderer.prompt_ids(messages)) + n_replies * (max_new_tokens - 1)


def _attempts(prompt: Prompt, problem: Problem, n: int) -> list[Turn]:
    """So many wrong attempts of one token each, with what is said after them."""
    turns: list[Turn] = []
    critique = Turn("0") if prompt.refines else None
    for _ in range(n):
        turn = Turn("0", Verdict.WRONG)
        # What a function of yours will say is not known before it has something to look at.
        feedback = "" if is_own_feedback(prompt.feedback) else prompt.feedback_for(problem, [*turns, turn])
        turns.append(Turn("0", Verdict.WRONG, feedback=feedback, critique=critique))
    return turns
