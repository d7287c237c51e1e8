"""The one door before work: everything that can be refused is refused here, and what the work needs is found out once.

Every command goes through `preflight`: a whole run, its dry run, one stage, a measurement, a server. Hours later is too
late to hear of a misspelt path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rise.errors import DataError, EmptyStageError, NotHereError
from rise.play.context_length import check_context
from rise.play.prompt import Prompt, load_function, make_prompt
from rise.play.render import Renderer
from rise.policies import check_spec
from rise.recipe.config import RunConfig
from rise.recipe.improvers import IMPROVERS, INJECTED
from rise.recipe.problems import boost_problems, held_out_problems, rate_problems, student_turns, training_problems
from rise.recipe.wordings import is_own_feedback
from rise.runs import checks
from rise.runs.contents import contents
from rise.runs.pass_rates import filtered
from rise.runs.takeover import check_takeover
from rise.task import Problem, Task
from rise.tasks import make_task
from rise.training.threads import fix_threads

Work = Literal["run", "collect", "train", "measure", "serve", "judge"]
"""What is about to be done: a whole recipe; a rollout or relabelling; a training; a measurement; answers for clients; verdicts
on replies that are there."""


@dataclass(frozen=True)
class Ready:
    """A recipe whose settings were found possible, and what they come to."""

    config: RunConfig
    task: Task
    prompt: Prompt
    """What the model is shown in collection and training."""
    evaluated: Prompt
    """What it is shown when it is measured; the same unless `evaluate.state` differs."""
    rounds: tuple[Sequence[Problem], ...] = ()
    """Training problems of round 1, 2, …"""
    boost: Sequence[Problem] = ()
    """Problems whose worked solutions the boost trains on."""
    held_out: Sequence[Problem] = ()
    """Problems that every stage is measured on."""
    rates: Sequence[Problem] = ()
    """Validation problems that the rates of the chain are taken from."""
    contents: Mapping[str, str] = field(default_factory=dict)
    """Hashes of what the recipe only names: problems, models, code of the user's own."""
    renderer: Renderer | None = None
    """The student's; no training changes it. None where the model is not on this machine, or nothing of it is needed."""
    missing: tuple[str, ...] = ()
    """What is not on this machine yet, and how to get it. Empty unless `preflight` was asked to list it."""

    def problems(self, k: int) -> Sequence[Problem]:
        """Training problems of round `k`, counted from 1."""
        return self.rounds[min(k, len(self.rounds)) - 1]


def preflight(
    config: RunConfig,
    work: Work = "run",
    *,
    policy: str | None = None,
    held_out: Callable[[Task], Sequence[Problem]] | None = None,
    out: Path | None = None,
    list_missing: bool = False,
) -> Ready:
    """Check a recipe for the work at hand and return what the work needs.

    `policy` is the spec of a policy that is given beside the recipe, `held_out` chooses other problems to measure on than the
    recipe's, and `out` is the directory that will be written.
    With `list_missing`, data, weights and engines that are merely not on this machine are listed in `Ready.missing`
    instead of raised. Raises the `RiseError` that names the first impossible setting and the way out.
    """
    fix_threads(config)
    look = _Look(list_missing)
    task = make_task(config.task.name, **config.task.settings)
    if work in ("run", "collect"):
        task = filtered(task, config.task.filter)
    prompt, evaluated = make_prompt(config, task), make_prompt(config, task, evaluation=True)
    for shown in (prompt, evaluated):
        if is_own_feedback(shown.feedback):
            load_function(shown.feedback)
    for check in _CHECKS[work]:
        look.at(lambda check=check: check(config))  # type: ignore[misc]
    if list_missing and IMPROVERS[config.relabel.improver].asks == "teacher":
        look.at(lambda: checks.check_key(config))
    if policy is not None:
        look.at(lambda: check_spec(policy, _OPTION.get(work, "")))
    rounds: tuple[Sequence[Problem], ...] = ()
    boost: Sequence[Problem] = ()
    measured: Sequence[Problem] = ()
    rates: Sequence[Problem] = ()
    with look.on():
        checks.check_alphabet(config, task)
        if work in ("run", "collect"):
            rounds = _training_problems(config, task)
        if work == "run" and config.boost.enabled:
            boost = boost_problems(config, task)
            checks.need_solutions(boost, "boost.enabled = true trains on", "Set boost.enabled = false")
        if work in ("run", "measure"):
            measured = held_out(task) if held_out else held_out_problems(config, task)
            if not measured:
                raise EmptyStageError(f"task {config.task.name} has no {config.evaluate.split} problem to measure on: add some.")
        if work == "run":
            rates = rate_problems(config, task)
        checks.check_golds(task.judge(), [*(rounds[:1] or ([],))[0], *measured])
        checks.say_shared(task, [*(rounds if config.iterate.rounds else ()), boost], measured)
    renderer = None
    if work in ("run", "collect"):
        renderer = look.at(lambda: checks.student_renderer(config, task, prompt, evaluated, fetch=not list_missing))
    if work == "run":
        look.at(lambda: checks.check_space(config, out))
    hashes = contents(config, rounds[:1], boost, [*measured, *rates]) if work == "run" and not look.missing else {}
    ready = Ready(config, task, prompt, evaluated, rounds, boost, measured, rates, hashes, renderer, tuple(look.missing))
    if work == "run" and rounds:
        check_contexts(ready, renderer, checks.context_of(config))
    return ready


_CHECKS: dict[str, Sequence[Callable[[RunConfig], None]]] = {
    "run": (
        checks.check_process,
        checks.check_packages,
        checks.check_trackers,
        checks.check_model,
        checks.check_adapters,
        checks.check_engine,
        checks.check_trainings,
        checks.check_improver,
        check_takeover,
    ),
    "collect": (checks.check_packages, checks.check_engine, checks.check_improver),
    "train": (checks.check_packages, checks.check_training),
    "measure": (checks.check_format, checks.check_engine),
    "serve": (checks.check_format, checks.check_engine),
    "judge": (),
}
"""Work → what is looked at before it begins, in this order. A new check is a function in `checks.py` and a name here."""


_OPTION = {"collect": "--policy", "train": "--start"}
"""How the command line calls the policy that is given beside the recipe, where it has a name."""


class _Look:
    """Runs checks; what is merely missing is kept in a list, or raised like everything else."""

    def __init__(self, list_missing: bool) -> None:
        self.list_missing = list_missing
        self.missing: list[str] = []

    def at(self, check: Callable[[], Any]) -> Any:
        with self.on():
            return check()
        return None

    @contextmanager
    def on(self) -> Any:
        try:
            yield
        except NotHereError as error:
            if not self.list_missing:
                raise
            self.missing.append(str(error))


def _training_problems(config: RunConfig, task: Task) -> tuple[Sequence[Problem], ...]:
    """Those of every round: the same sequence again unless each round takes fresh ones."""
    n_rounds = max(1, config.iterate.rounds)
    fresh = config.rollout.problems == "fresh"
    found: list[Sequence[Problem]] = []
    for k in range(1, (n_rounds if fresh else 1) + 1):
        try:
            found.append(training_problems(config, task, k))
        except NotHereError:
            raise
        except DataError as error:
            if k == 1:
                raise
            raise DataError(
                f'round {k} of {n_rounds}: rollout.problems = "fresh", but {error} '
                'Fewer rounds, a smaller rollout.n_problems or rollout.problems = "same" need fewer.'
            ) from error
        if config.rollout.policy == INJECTED:
            checks.need_solutions(found[-1], f'rollout.policy = "{INJECTED}" changes a digit of', "Leave it out")
        if config.relabel.improver == "gold":
            checks.need_solutions(found[-1], 'relabel.improver = "gold" gives', 'Use "self" or "teacher"')
    if not found[0]:
        shared = config.boost.enabled and config.boost.disjoint
        way_out = (
            f"boost.n_problems = {config.boost.n_problems} takes all; lower it, or set boost.disjoint = false"
            if shared
            else "add some"
        )
        raise EmptyStageError(f"task {config.task.name} has no training problem for the rounds: {way_out}.")
    return tuple(found) if fresh else tuple(found) * n_rounds


def check_contexts(ready: Ready, renderer: Renderer | None, limit: int | None) -> None:
    """Whether the longest state of every stage fits a context of `limit` tokens. None: nobody on this machine knows yet."""
    config = ready.config
    problems = [*ready.held_out, *(ready.rounds[0] if ready.rounds else ()), *ready.boost]
    # The improver stands where the student has taken its last turn; worked solutions are generated by nobody.
    behind = 1 if IMPROVERS[config.relabel.improver].asks is None else 0
    collected = [student_turns(config, k) - behind for k in range(1, config.iterate.rounds + 1)]
    for shown, attempts in ((ready.evaluated, config.evaluate.turns - 1), (ready.prompt, max(collected, default=0))):
        check_context(shown, renderer, problems, limit=limit, attempts=attempts, max_new_tokens=config.sampling.max_new_tokens)
