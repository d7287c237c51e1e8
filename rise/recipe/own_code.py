"""Code of yours, named as `module:name` or `file.py:name` in a recipe or on the command line: a feedback function, a judge, …"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from rise.errors import ConfigError, did_you_mean

MOVED = {"rise.judges.functions": "rise.judges.python_functions", "rise.judges.own": "rise.judges.named"}
"""Modules of ours under the names that recipes and run directories of version 0.1.0 hold."""


OURS = ("rise.judges.python_functions",)
"""Modules of ours whose functions recipes name in the same way."""


def is_own_code(path: object) -> bool:
    """Whether a setting names code that is not ours.

    >>> [is_own_code(path) for path in ("mine.py:right", "rise.judges.functions:first_failure", "math", None)]
    [True, False, False, False]
    """
    module = path.rpartition(":")[0] if isinstance(path, str) else ""
    return module != "" and MOVED.get(module, module) not in OURS


def load_named(path: str, setting: str) -> Any:
    """The object behind `module:name`, modules in the current directory included, or behind `file.py:name`.

    Raises `ConfigError`, led by `setting`, where it cannot be had.
    """
    named = f'{setting} = "{path}"'
    module_name, _, name = path.rpartition(":")
    module_name = MOVED.get(module_name, module_name)
    if not module_name or not name:
        raise ConfigError(f'{named}. Write "module:name" or "file.py:name", for example "my_module:my_function".')
    if module_name.endswith(".py"):
        return _named_in(_module_of(Path(module_name), named), name, named)
    here = os.getcwd()
    added = here not in sys.path and "" not in sys.path
    if added:
        sys.path.insert(0, here)
    importlib.invalidate_caches()  # the file may be younger than this process
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f'{named}: {module_name!r} cannot be imported ({error}). Write "module:name"; the module is looked for in {here} '
            "and wherever Python looks."
        ) from error
    except Exception as error:  # anything the module does while it is imported
        raise ConfigError(f"{named}: importing {module_name!r} fails with {type(error).__name__}: {error}.") from error
    finally:
        if added:
            sys.path.remove(here)
    return _named_in(module, name, named)


def source_of(path: str, setting: str) -> bytes | None:
    """The file of `module:name` or `file.py:name`, a module being imported; None where it has none."""
    module_name = path.rpartition(":")[0]
    if module_name.endswith(".py"):
        return Path(module_name).read_bytes() if Path(module_name).is_file() else None
    known = MOVED.get(module_name, module_name)
    if known not in sys.modules:
        load_named(path, setting)
    file = getattr(sys.modules[known], "__file__", None)
    return Path(file).read_bytes() if file else None


def _module_of(file: Path, named: str) -> ModuleType:
    """A file as a module under its path: it shadows no module of the same name, and nothing beside it is imported by it."""
    spec = importlib.util.spec_from_file_location(file.as_posix(), file)
    if spec is None or spec.loader is None or not file.is_file():
        raise ConfigError(f"{named}: there is no file {file} ({file.absolute()}).")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # anything the file does while it is imported
        raise ConfigError(f"{named}: importing {file} fails with {type(error).__name__}: {error}.") from error
    return module


def _named_in(module: ModuleType, name: str, named: str) -> Any:
    if not hasattr(module, name):
        public = [known for known in dir(module) if not known.startswith("_")]
        raise ConfigError(f"{named}: {module.__name__} has no {name!r}. {did_you_mean(name, public)}")
    return getattr(module, name)
