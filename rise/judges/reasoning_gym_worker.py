"""The process that makes and scores reasoning-gym's problems: the package's own code, with a deadline and nowhere to write to.

Run as a script with the parent's `sys.path` (in another environment: what to add to its own), a memory limit, and
maybe a package and the one of its generators that is wanted. Speaks lines of JSON: "ready", then one answer a request:

{"do": "describe"}                               {"names": [every generator], "settings": [this one's]}
{"do": "make", "start": 0, "n": 64}              {"problems": [[index, question, answer or null], …]}, shorter at the end
{"do": "score", "index": 3, "question": …, "answer": …, "unsafe": false}     {"score": 0.5}

each with "name", "config", "seed" and "size". What fails says {"error": …}; a scorer that would compile a text that is not its
own problem's says {"refused": …} unless it is allowed to.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import resource
import sys
from typing import Any

_datasets: dict[str, Any] = {}
_own_texts: list[str] | None = None
"""While an answer is scored: what may be compiled, the problem's own texts. None otherwise."""


def main() -> None:
    paths = json.loads(sys.argv[1])
    sys.path[:] = [*sys.path, paths["also"]] if isinstance(paths, dict) else paths
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        import reasoning_gym.factory as factory

        if sys.argv[3:]:
            _register(*sys.argv[3:])
    except ImportError as error:
        answers.write(f"{error}\n")
        return
    from rise.judges.math_worker import lock_down

    lock_down(int(sys.argv[2]))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # no file grows; only now, so that imports could be cached
    sys.addaudithook(_guard)
    answers.write("ready\n")
    for line in sys.stdin:
        request = json.loads(line)
        try:
            said = _do(factory, request)
        except (MemoryError, RecursionError):
            answers.write("gave-up\n")
            continue
        except Exception as error:  # their code, on their settings or on a model's text
            said = {"error": f"{type(error).__name__}: {error}"[:500]}
        answers.write(json.dumps(said) + "\n")


_others: set[str] = set()
"""Generators of the other package, where there is one: then no others are known."""


def _register(package: str, name: str) -> None:
    """One of reasoning-core's generators with reasoning-gym. Not all: some of version 0.5.0 cannot be imported."""
    core = importlib.import_module(package)
    _others.update(core.list_tasks())
    if name in _others:
        core.register_to_reasoning_gym([name])


def _do(factory: Any, request: dict[str, Any]) -> dict[str, Any]:
    name = request["name"]
    if request["do"] == "describe":
        known = factory.DATASETS
        if _others:
            known = {name: known[name] for name in known if name in _others} | dict.fromkeys(_others - set(known))
        fields = list(known[name][1].__dataclass_fields__) if known.get(name) else []
        return {"names": sorted(known), "settings": [field for field in fields if field not in ("seed", "size")]}
    key = json.dumps([name, request["config"], request["seed"], request["size"]], sort_keys=True)
    if key not in _datasets:
        _datasets.clear()
        _datasets[key] = factory.create_dataset(name, seed=request["seed"], size=request["size"], **_tuples(request["config"]))
    dataset = _datasets[key]
    if request["do"] == "make":
        last = min(request["start"] + request["n"], request["size"])
        entries = [(index, _entry(dataset, index, request)) for index in range(request["start"], last)]
        return {"problems": [[i, str(e["question"]), None if e["answer"] is None else str(e["answer"])] for i, e in entries]}
    return _score(dataset, request)


def _entry(dataset: Any, index: int, request: dict[str, Any]) -> Any:
    """One problem. reasoning-core's do not heed their number: each is the next one from the process's random streams.

    So these are set once, all problems up to this one are made in their order, and what is done between leaves no trace.
    """
    if not _others:
        return dataset[index]
    made, streams = dataset.__dict__.setdefault("_rise_made", ([], []))
    numpy = importlib.import_module("numpy").random
    if not streams:
        random.seed(request["seed"])
        numpy.seed(request["seed"])
    else:
        random.setstate(streams[0])
        numpy.set_state(streams[1])
    while len(made) <= index:
        made.append(dataset[len(made)])
    streams[:] = [random.getstate(), numpy.get_state()]
    return made[index]


def _score(dataset: Any, request: dict[str, Any]) -> dict[str, Any]:
    global _own_texts
    entry = _entry(dataset, request["index"], request)
    if str(entry["question"]) != request["question"]:
        return {"error": "this version makes another problem under that number"}
    if not request["unsafe"]:
        _own_texts = list(_texts(entry))
    refused.clear()
    try:
        score = float(dataset.score_answer(request["answer"], entry))
    finally:
        _own_texts = None
    return {"refused": refused[0]} if refused else {"score": score}


refused: list[str] = []
"""What the guard refused since the last answer: a scorer may well swallow the exception."""


def _guard(event: str, args: tuple[Any, ...]) -> None:
    """An audit hook: what `worker.refuse` refuses, but compiling, which is refused only while an answer is scored."""
    from rise.judges.math_worker import WRITE_CODE_OF_THEIR_OWN, refuse

    if event != "compile":
        refuse(event, args)
        return
    if _own_texts is None or not str(args[1]).startswith("<"):
        return
    source = args[0].decode(errors="replace") if isinstance(args[0], bytes) else args[0]
    caller = sys._getframe(1).f_code.co_filename
    if caller.endswith(WRITE_CODE_OF_THEIR_OWN) or (isinstance(source, str) and source.strip() in _own_texts):
        return
    refused.append(f"compile {str(source)[:60]!r}")
    raise PermissionError("compiling an answer's text is refused")


def _texts(value: Any) -> Any:
    """Every text in an entry, stripped."""
    if isinstance(value, str):
        yield value.strip()
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _tuples(config: dict[str, Any]) -> dict[str, Any]:
    """TOML has lists where their configurations have tuples; they take either, but hash some."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in config.items()}


if __name__ == "__main__":
    main()
