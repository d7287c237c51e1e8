"""Recursive Introspection (RISE, arXiv 2407.18219): teach a language model to correct its own answer turn after turn.

task → rollout → trajectory → judge → relabel → keep, weigh → dataset → train → evaluate → report → serve
       └──────────────────────── iterate.py turns this handle, round after round ─────────┘

The nouns, and the functions that have no module of their own name, are here: `from rise import Problem, run`.
A stage is the function of the same name in the module of its name: `from rise.rollout import rollout`.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Imported on first use, so that `import rise` and `rise --help` stay quick. `rollout`, `relabel`, `train`, … are not among
# them: `rise.rollout` is the module once anything has imported it, and one name must not mean two things.
_HOME = {
    "Example": "rise.dataset",
    "HeldOut": "rise.evaluate.held_out",
    "Ledger": "rise.ledger",
    "Message": "rise.trajectory",
    "Player": "rise.rollout",
    "Problem": "rise.task",
    "Prompt": "rise.prompt",
    "Relabelled": "rise.trajectory",
    "RiseError": "rise.errors",
    "RunConfig": "rise.config",
    "RunDir": "rise.run_dir",
    "Sampling": "rise.policy",
    "Trajectory": "rise.trajectory",
    "Turn": "rise.trajectory",
    "Verdict": "rise.trajectory",
    "build_examples": "rise.dataset",
    "load_recipe": "rise.recipe",
    "make_policy": "rise.policies",
    "make_task": "rise.tasks",
    "measure": "rise.evaluate.metrics",
    "run": "rise.iterate",
}

if TYPE_CHECKING:
    from rise.config import RunConfig
    from rise.dataset import Example, build_examples
    from rise.errors import RiseError
    from rise.evaluate.held_out import HeldOut
    from rise.evaluate.metrics import measure
    from rise.iterate import run
    from rise.ledger import Ledger
    from rise.policies import make_policy
    from rise.policy import Sampling
    from rise.prompt import Prompt
    from rise.recipe import load_recipe
    from rise.rollout import Player
    from rise.run_dir import RunDir
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
