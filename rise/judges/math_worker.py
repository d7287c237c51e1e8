"""The other end of `MathJudge`: compares two answers with algebra, in a process that may be killed at any moment.

Run as a script with the parent's `sys.path` and its limits as arguments. Speaks lines on standard input and output:
first "ready"; then for each request (a JSON list of two answers and a time limit in seconds) "right", "wrong" or "gave-up".
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import resource
import sys
from collections.abc import Callable
from typing import Any

REFUSED = (
    *("socket.", "subprocess.", "shutil.", "ctypes.", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.kill"),
    *("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.chmod", "os.chown", "os.link", "os.symlink", "os.truncate"),
)
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# latex2sympy hands single tokens to sympify, which compiles these few forms. A quoted name is data; nothing else may run.
_HARMLESS = re.compile(
    r"\s*(?:from sympy import \*|(?:Integer|Float|Symbol|Rational|Function) ?\((?:\d+|'[^'\\]{0,64}') ?\)|E)\s*"
)
WRITE_CODE_OF_THEIR_OWN = ("/dataclasses.py", "/collections/__init__.py", "/typing.py", "/sympy/polys/monomials.py")


def main() -> None:
    sys.path[:] = json.loads(sys.argv[1])
    memory_bytes = int(sys.argv[2])
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # whatever a library prints must not be read as a verdict
    lock_down(memory_bytes)
    equal = load()
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # no file grows; only now, so that imports could be cached
    sys.addaudithook(refuse)
    answers.write("ready\n")
    for line in sys.stdin:
        left, right, limit_s = json.loads(line)
        _die_after(limit_s)
        try:
            verdict = "right" if equal(left, right) else "wrong"
        except (MemoryError, RecursionError):
            verdict = "gave-up"
        except Exception:  # math-verify raises of all kinds on odd input; none of them makes an answer right
            verdict = "wrong"
        answers.write(verdict + "\n")


def load() -> Callable[[str, str], bool]:
    """The comparison of two answers with algebra. Slow to import, may hang: not for a process that matters."""
    from rise.judges.algebra import NumericAlgebra
    from rise.judges.equality import same_form
    from rise.judges.reading import form

    algebra = NumericAlgebra(load_math_verify())

    def equal(left: str, right: str) -> bool:
        return same_form(form(left), form(right), algebra)

    # Compiles grammars now rather than in the first request's time.
    equal(r"\int_0^1 2x \, dx", r"\lim_{x \to 0} \frac{\sin x}{x}")
    return equal


def load_math_verify() -> Callable[[str, str], bool]:
    """Whether two LaTeX formulas are equal, for what we do not read ourselves (integrals, sums, limits): read by math-verify.

    Not its `verify`, which rounds to fifteen places and takes pairs for sets; and its reader without `units`, which would take a
    last letter for one.
    """
    import logging

    logging.disable(logging.CRITICAL)
    from latex2sympy2_extended.latex2sympy2 import NormalizationConfig
    from math_verify import LatexExtractionConfig, parse
    from sympy import Expr, simplify

    from rise.judges.spelling import in_braces

    cleaning = NormalizationConfig(
        basic_latex=True, units=False, malformed_operators=False, nits=False, boxed="all", equations=False
    )
    # The LaTeX extractor only: the other one hands text to sympy's parse_expr, which evaluates it as Python.
    latex = [LatexExtractionConfig(boxed_match_priority=0, normalization_config=cleaning)]

    def equal(left: str, right: str) -> bool:
        # No time limit of theirs: it rests on SIGALRM, which C code ignores. The parent kills us instead.
        found = [parse(f"\\boxed{{{in_braces(text)}}}", latex, parsing_timeout=None)[:1] for text in (left, right)]
        values = [of[0].doit() for of in found if of and isinstance(of[0], Expr)]
        return len(values) == 2 and simplify(values[0] - values[1]) == 0

    return equal


def lock_down(memory_bytes: int) -> None:
    with contextlib.suppress(ValueError, OSError):  # macOS has no such limit
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    new_user, new_network = 0x10000000, 0x40000000
    # A network namespace without interfaces, where the kernel lets us have one; the audit hook covers the rest.
    if hasattr(libc, "unshare") and libc.unshare(new_network) != 0:
        libc.unshare(new_user | new_network)


def _die_after(limit_s: float) -> None:
    """The parent kills us at its limit; should it be gone by then, the kernel does."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime + limit_s) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def refuse(event: str, args: tuple[Any, ...]) -> None:
    """An audit hook, which cannot be taken off again: no network, no process, no writing, and no code made from text."""
    if event == "open":
        refused = isinstance(args[2], int) and bool(args[2] & _WRITES)
    elif event == "compile":
        source, file = args[0], str(args[1])
        if isinstance(source, bytes):
            source = source.decode(errors="replace")
        caller = sys._getframe(1).f_code.co_filename
        known = caller.endswith(WRITE_CODE_OF_THEIR_OWN) or (isinstance(source, str) and _HARMLESS.fullmatch(source) is not None)
        refused = file.startswith("<") and not known
    else:
        refused = event.startswith(REFUSED)
    if refused:
        raise PermissionError(f"{event} is refused in the judge's worker")


if __name__ == "__main__":
    main()
