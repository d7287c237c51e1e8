"""Recursive Introspection (RISE, arXiv 2407.18219): teach a language model to correct its own answer turn after turn.

task → rollout → trajectory → judge → relabel → keep, weigh → dataset → train → evaluate → report → serve
       └──────────────── method/iterate.py turns this handle, round after round ────────────┘

The method in ten lines of Python stands in `rise.api`; the nouns and its functions are here: `from rise import Problem, rollout`.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Imported on first use, so that `import rise` and `rise --help` stay quick. No module of the package has the name of a function.
_HOME = {
    "Attempts": "rise.api",
    "Evaluation": "rise.api",
    "Example": "rise.dataset.example",
    "HeldOut": "rise.evaluation.held_out",
    "Judge": "rise.judge",
    "Judgement": "rise.judge",
    "Ledger": "rise.play.ledger",
    "Message": "rise.trajectory",
    "Player": "rise.play.player",
    "Policy": "rise.policy",
    "Problem": "rise.task",
    "Prompt": "rise.play.prompt",
    "Relabelled": "rise.trajectory",
    "RiseError": "rise.errors",
    "RunConfig": "rise.recipe.config",
    "RunDir": "rise.runs.directory",
    "Sampling": "rise.policy",
    "Task": "rise.task",
    "Trajectory": "rise.trajectory",
    "Turn": "rise.trajectory",
    "Verdict": "rise.trajectory",
    "build_examples": "rise.api",
    "evaluate": "rise.api",
    "load": "rise.report.load",
    "load_policy": "rise.api",
    "load_recipe": "rise.recipe.toml",
    "load_task": "rise.api",
    "make_policy": "rise.policies",
    "make_task": "rise.tasks",
    "measure": "rise.evaluation.metrics",
    "relabel": "rise.api",
    "rollout": "rise.api",
    "run": "rise.api",
    "train": "rise.api",
}

if TYPE_CHECKING:
    from rise.api import Attempts, Evaluation, build_examples, evaluate, load_policy, load_task, relabel, rollout, run, train
    from rise.dataset.example import Example
    from rise.errors import RiseError
    from rise.evaluation.held_out import HeldOut
    from rise.evaluation.metrics import measure
    from rise.judge import Judge, Judgement
    from rise.play.ledger import Ledger
    from rise.play.player import Player
    from rise.play.prompt import Prompt
    from rise.policies import make_policy
    from rise.policy import Policy, Sampling
    from rise.recipe.config import RunConfig
    from rise.recipe.toml import load_recipe
    from rise.report.load import load
    from rise.runs.directory import RunDir
    from rise.task import Problem, Task
    from rise.tasks import make_task
    from rise.trajectory import Message, Relabelled, Trajectory, Turn, Verdict

__all__ = [
    "Attempts",
    "Evaluation",
    "Example",
    "HeldOut",
    "Judge",
    "Judgement",
    "Ledger",
    "Message",
    "Player",
    "Policy",
    "Problem",
    "Prompt",
    "Relabelled",
    "RiseError",
    "RunConfig",
    "RunDir",
    "Sampling",
    "Task",
    "Trajectory",
    "Turn",
    "Verdict",
    "__version__",
    "build_examples",
    "evaluate",
    "load",
    "load_policy",
    "load_recipe",
    "load_task",
    "make_policy",
    "make_task",
    "measure",
    "relabel",
    "rollout",
    "run",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'rise' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
