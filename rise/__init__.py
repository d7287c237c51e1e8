"""Recursive Introspection (RISE, arXiv 2407.18219): teach a language model to correct its own answer turn after turn.

task → rollout → trajectory → judge → relabel → keep, weigh → dataset → train → evaluate → report → serve
       └──────────────────────── iterate.py turns this handle, round after round ─────────┘

The nouns, and the functions that have no module of their own name, are here: `from rise import Problem, run`.
A stage is the function of the same name in the module of its name: `from rise.play.player import rollout`.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Imported on first use, so that `import rise` and `rise --help` stay quick. `rollout`, `relabel`, `train`, … are not among
# them: `rise.play.player` is the module once anything has imported it, and one name must not mean two things.
_HOME = {
    "Example": "rise.dataset.build",
    "HeldOut": "rise.evaluation.held_out",
    "Ledger": "rise.play.ledger",
    "Message": "rise.trajectory",
    "Player": "rise.play.player",
    "Problem": "rise.task",
    "Prompt": "rise.play.prompt",
    "Relabelled": "rise.trajectory",
    "RiseError": "rise.errors",
    "RunConfig": "rise.recipe.config",
    "RunDir": "rise.runs.directory",
    "Sampling": "rise.policy",
    "Trajectory": "rise.trajectory",
    "Turn": "rise.trajectory",
    "Verdict": "rise.trajectory",
    "build_examples": "rise.dataset.build",
    "load_recipe": "rise.recipe.toml",
    "make_policy": "rise.policies",
    "make_task": "rise.tasks",
    "measure": "rise.evaluation.metrics",
    "run": "rise.method.iterate",
}

if TYPE_CHECKING:
    from rise.dataset.build import Example, build_examples
    from rise.errors import RiseError
    from rise.evaluation.held_out import HeldOut
    from rise.evaluation.metrics import measure
    from rise.method.iterate import run
    from rise.play.ledger import Ledger
    from rise.play.player import Player
    from rise.play.prompt import Prompt
    from rise.policies import make_policy
    from rise.policy import Sampling
    from rise.recipe.config import RunConfig
    from rise.recipe.toml import load_recipe
    from rise.runs.directory import RunDir
    from rise.task import Problem
    from rise.tasks import make_task
    from rise.trajectory import Message, Relabelled, Trajectory, Turn, Verdict

__all__ = [
    "Example",
    "HeldOut",
    "Ledger",
    "Message",
    "Player",
    "Problem",
    "Prompt",
    "Relabelled",
    "RiseError",
    "RunConfig",
    "RunDir",
    "Sampling",
    "Trajectory",
    "Turn",
    "Verdict",
    "__version__",
    "build_examples",
    "load_recipe",
    "make_policy",
    "make_task",
    "measure",
    "run",
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
