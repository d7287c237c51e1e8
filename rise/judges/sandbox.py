"""The process in which a model's Python runs: calls a function on given arguments, says what came back, never what is right.

Run as a script, which makes two processes. The *reader* takes requests and collects what came of them. The *mould* is asked by it
for a child, with the two ends of pipes and nothing else: it has never held a request nor an answer, so code may read every byte
of the child that is cast from it, frames, heap and all, and finds its own request alone. Children are the reader's to wait for
(CLONE_PARENT), so that not even how one ended comes by the mould.

A child is confined before the first line of the code is compiled: limits on memory, CPU time and files; no network; and, where
the kernel has it, a seccomp filter that leaves the code nothing but memory, the clock and its pipe: no file, no socket, no
process, no signal. The values that are expected stay in rise's own process: to be called right, code has to know the answers.

Speaks lines of JSON. First "ready", or why not. Request {"code", "name", "calls": [arguments as Python literals], "limit_s"};
answer {"lines": [what the code came to, one a call], "end": "done" | "late" | "long" | "signal 11"}. A line is ["value", …],
["raised", type, message] or, before any call, ["syntax", message, line], ["failed", type, message], ["missing"].
Request {"normal": code, "limit_s"}: the answer is the code without comments, layout and docstrings, or null.
"""

from __future__ import annotations

import ast
import collections
import contextlib
import ctypes
import gc
import importlib
import json
import os
import platform
import random
import resource
import select
import signal
import socket
import struct
import sys
import time
from typing import Any

KNOWN = (
    "array bisect cmath collections collections.abc copy dataclasses datetime decimal enum fractions functools heapq itertools "
    "math numbers operator re re._casefix statistics string textwrap typing unicodedata _strptime encodings.ascii "
    "encodings.latin_1"
)
"""What code may import: all of it is loaded before, since confined code opens no file."""
MAX_SAID = 1 << 18
"""Bytes that all values of one request may take."""
SLICE_S = 0.1
"""How long a child that waits for a processor is left alone before it is looked at again."""
MAX_DEPTH = 32

# Memory, clock, random bytes, signals' own bookkeeping, reading and writing what is open, and the end. By machine; from the
# kernel's tables. aarch64 has not been tried by us: where a number were wrong, the probe below would say so.
_ALLOWED = {
    "x86_64": (
        0xC000003E,
        "0 1 3 5 8 9 10 11 12 13 14 15 24 25 28 35 39 60 96 131 186 201 202 219 228 230 231 318",
    ),
    "aarch64": (
        0xC00000B7,
        "57 62 63 64 80 93 94 98 101 113 115 124 128 132 134 135 139 169 172 178 214 215 216 222 226 233 278",
    ),
}


_libc = ctypes.CDLL(None, use_errno=True)
_with_lock = ctypes.PyDLL(None)
"""The same, called without giving Python's lock away."""
_ZEROS = [ctypes.c_ulong(0)] * 3
_filter: bytes | None = None
"""Made once, since every child needs it."""


def main() -> None:
    global _filter
    memory_bytes, needed = int(sys.argv[1]), sys.argv[2]
    for module in KNOWN.split():
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    answers = os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in (1, 2):
        os.dup2(nowhere, fd)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    new_user, new_network = 0x10000000, 0x40000000
    if hasattr(_libc, "unshare") and _libc.unshare(new_network) != 0:
        _libc.unshare(new_user | new_network)
    _give_up_powers()
    _filter = _make_filter()
    gc.freeze()  # a collection in a child would copy every page it looks at
    ours, its = socket.socketpair()
    if os.fork() == 0:
        try:
            ours.close()
            os.close(answers)
            os.dup2(nowhere, 0)
            _cast(its, memory_bytes)
        finally:
            os._exit(0)
    its.close()
    if needed == "seccomp" and _played(ours, {"probe": True, "limit_s": 10.0})["lines"] != [0]:
        _write(answers, f"the kernel has no seccomp filter for {platform.system()} on {platform.machine()}\n".encode())
        return
    _write(answers, b"ready\n")
    for line in sys.stdin:
        request = json.loads(line)
        said: Any = _played(ours, request)
        if "normal" in request:
            said = said["lines"][0] if said["lines"] else None
        try:
            answer = json.dumps(said).encode()
        except RecursionError:
            answer = b'{"lines": [], "end": "long"}'
        _write(answers, answer + b"\n")


# ---- the mould -----------------------------------------------------------------------------------------------------------


def _cast(asked: socket.socket, memory_bytes: int) -> None:
    """The mould: a child for each pair of pipes, until nobody asks any more."""
    _die_with_parent()
    while True:
        data, pipes, _, _ = socket.recv_fds(asked, 1, 2)
        if not data:
            return
        child = _clone()
        if child == 0:
            try:
                _child(pipes[0], pipes[1], memory_bytes)
            finally:
                os._exit(0)
        for pipe in pipes:
            os.close(pipe)
        asked.sendall(struct.pack("i", child))
        if _CLONE is None:  # ours to wait for, when the next is asked for: by then it has been killed
            with contextlib.suppress(ChildProcessError):
                os.waitpid(-1, os.WNOHANG)


_CLONE = {"x86_64": 56, "aarch64": 220}.get(platform.machine()) if platform.system() == "Linux" else None
_CLONE_PARENT = 0x8000


def _clone() -> int:
    """`os.fork`, but the child's parent is ours. There is no other thread whose locks a child would miss."""
    if _CLONE is None:
        return os.fork()
    flags = ctypes.c_long(_CLONE_PARENT | signal.SIGCHLD)
    return int(_with_lock.syscall(ctypes.c_long(_CLONE), flags, *[ctypes.c_long(0)] * 4))


def _child(request: int, out: int, memory_bytes: int) -> None:
    """Read the request, have ourselves confined, play."""
    data = b""
    while read := os.read(request, 1 << 20):
        data += read
    asked = json.loads(data)
    _confine(out, asked["limit_s"], memory_bytes)
    if "probe" in asked:
        _probe(out)
    elif "normal" in asked:
        _send(out, _normal(asked["normal"]))
    else:
        _play(asked, out)


def _give_up_powers() -> None:
    """No capability, not even in a user namespace of our own; and no child of the mould looks into the memory of either."""
    if platform.system() == "Linux":
        _libc.capset(struct.pack("=Ii", 0x20080522, 0), bytes(24))
        _libc.prctl(4, ctypes.c_ulong(0), *_ZEROS)


def _die_with_parent() -> None:
    if platform.system() == "Linux":
        _libc.prctl(1, ctypes.c_ulong(signal.SIGKILL), *_ZEROS)


# ---- the reader ----------------------------------------------------------------------------------------------------------


def _played(mould: socket.socket, request: dict[str, Any]) -> dict[str, Any]:
    """The lines that a child wrote to its pipe until it ended or was ended, and how.

    By the clock it may take up to `patience` times its limit where the machine gives it no processor to run on.
    """
    limit_s = request["limit_s"]
    asked, ask = os.pipe()
    readable, writable = os.pipe()
    socket.send_fds(mould, [b"."], [asked, writable])
    os.close(asked)
    os.close(writable)
    [child] = struct.unpack("i", mould.recv(4, socket.MSG_WAITALL))
    if child < 0:
        raise OSError("no process could be made")
    began = time.monotonic()
    with contextlib.suppress(BrokenPipeError):
        _write(ask, json.dumps(request).encode())
    os.close(ask)
    said, end = _said(readable, child, began, limit_s, request.get("patience", 1))
    os.close(readable)
    end = _ended(child, end)
    lines: list[Any] = []
    for line in said.split(b"\n")[:-1]:
        try:
            lines.append(json.loads(line))
        except (ValueError, RecursionError):  # code that wrote into its pipe
            break
    return {"lines": lines, "end": end}


def _said(readable: int, child: int, began: float, limit_s: float, patience: int) -> tuple[bytes, str]:
    """What comes out of a pipe until its end, the deadline, or too much."""
    deadline, last = began + limit_s, began + patience * limit_s
    poll = select.poll()
    poll.register(readable, select.POLLIN)
    said = b""
    while True:
        left_s = deadline - time.monotonic()
        if left_s <= 0 or not poll.poll(left_s * 1000):
            owed_s = _owed(child, limit_s)
            if deadline < last and owed_s > 0:
                deadline = min(time.monotonic() + max(owed_s, SLICE_S), last)
                continue
            return said, "late"
        chunk = os.read(readable, 65536)
        if not chunk:
            return said, "done"
        said += chunk
        if len(said) > MAX_SAID:
            return said, "long"


def _ended(child: int, end: str) -> str:
    """End a child, also one that has closed its pipe and lives on; one that has ended by itself is past killing."""
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(child, signal.SIGKILL)
    try:
        _, status = os.waitpid(child, 0)
    except ChildProcessError:  # where it is the mould's
        return end
    if end == "done" and os.WIFSIGNALED(status) and os.WTERMSIG(status) != signal.SIGKILL:
        return "late" if os.WTERMSIG(status) == signal.SIGXCPU else "crash"
    return end


def _owed(child: int, limit_s: float) -> float:
    """Seconds of a processor that a child which wants one still has to get: then the machine is late, not the code."""
    try:
        with open(f"/proc/{child}/stat") as file:
            state, *fields = file.read().rpartition(")")[2].split()
    except (OSError, ValueError):
        return 0.0
    used_s = (int(fields[10]) + int(fields[11])) / os.sysconf("SC_CLK_TCK")
    return limit_s - used_s if state == "R" else 0.0


def _confine(pipe: int, limit_s: float, memory_bytes: int) -> None:
    """Before anything of a model's is looked at: own session, limits, no descriptor but the pipe, and the filter."""
    os.setsid()
    _die_with_parent()  # out of its parent's session, it would outlive it
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nowhere, fd)
    os.dup2(pipe, 3) if pipe != 3 else None
    os.closerange(4, 256)  # the line to our parent above all
    os.dup2(3, pipe)
    with contextlib.suppress(ValueError, OSError):  # macOS has no such limit
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (int(limit_s) + 1, int(limit_s) + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    random.seed(0)
    if _filter is not None:
        _install(_libc, _filter)


def _make_filter() -> bytes | None:
    """The program of a seccomp filter under which every call but those of `_ALLOWED` fails with EPERM; None on other machines."""
    if platform.system() != "Linux" or platform.machine() not in _ALLOWED:
        return None
    architecture, calls = _ALLOWED[platform.machine()]
    allowed = [int(call) for call in calls.split()]
    load, equal, answer = 0x20, 0x15, 0x06
    allow, refuse, kill = 0x7FFF0000, 0x00050001, 0x80000000
    rules = [(load, 0, 0, 4), (equal, 1, 0, architecture), (answer, 0, 0, kill), (load, 0, 0, 0)]
    rules += [(equal, len(allowed) - i, 0, number) for i, number in enumerate(allowed)]
    rules += [(answer, 0, 0, refuse), (answer, 0, 0, allow)]
    return b"".join(struct.pack("HBBI", *rule) for rule in rules)


def _install(libc: Any, code: bytes) -> bool:
    """Whether the kernel took the filter. It holds for this process and cannot be taken off again."""
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HL", len(code) // 8, ctypes.addressof(buffer))
    unsigned = [ctypes.c_ulong(0)] * 2
    libc.prctl(38, ctypes.c_ulong(1), ctypes.c_ulong(0), *unsigned)  # no new privileges, without which the next is refused
    return bool(libc.prctl(22, ctypes.c_ulong(2), ctypes.c_char_p(program), *unsigned) == 0)


def _probe(out: int) -> None:
    """Say how many doors are open to a confined child: a file, a socket, a process, a signal."""
    open_doors = 0
    for attempt in (lambda: os.open("/", os.O_RDONLY), socket.socket, os.fork, lambda: os.kill(os.getppid(), 0)):
        try:
            attempt()
        except PermissionError:
            continue
        open_doors += 1
    _send(out, open_doors)


def _play(request: dict[str, Any], out: int) -> None:
    namespace: dict[str, Any] = {"__name__": "solution"}
    try:
        code = compile(request["code"], "<reply>", "exec")
    except SyntaxError as error:
        return _send(out, ["syntax", str(error.msg)[:200], error.lineno])
    except (ValueError, MemoryError, RecursionError) as error:  # null bytes; nesting beyond the compiler
        return _send(out, ["syntax", _message(error), None])
    try:
        exec(code, namespace)  # nosec B102 # what this process is for; it is confined
    except BaseException as error:
        return _send(out, ["failed", type(error).__name__[:100], _message(error)])
    function = namespace.get(request["name"])
    if not callable(function):
        return _send(out, ["missing"])
    for arguments in request["calls"]:
        try:
            value = function(*ast.literal_eval(arguments))
            line = ["value", encoded(value)]
        except BaseException as error:
            line = ["raised", type(error).__name__[:100], _message(error)]
        _send(out, line)


def _send(out: int, line: Any) -> None:
    _write(out, json.dumps(line).encode() + b"\n")


def _write(out: int, data: bytes) -> None:
    while data:
        data = data[os.write(out, data) :]


def _message(error: BaseException) -> str:
    try:
        return str(error)[:200]
    except BaseException:
        return ""


def encoded(value: Any, depth: int = 0) -> Any:
    """A value of Python's own types as JSON that tells a list from a tuple; anything else is ["other", its type's name]."""
    kind = type(value)
    if value is None or kind is bool or (kind is str and len(value) < MAX_SAID):
        return value
    if kind is int and value.bit_length() <= 10_000:
        return ["int", hex(value)]
    if kind is float or kind is complex:
        return [kind.__name__, repr(value)]
    if depth < MAX_DEPTH:
        if kind is list or kind is tuple or kind is set or kind is frozenset:
            return [kind.__name__, [encoded(item, depth + 1) for item in value]]
        if kind is dict or kind in (collections.Counter, collections.OrderedDict, collections.defaultdict):
            return ["dict", [[encoded(key, depth + 1), encoded(item, depth + 1)] for key, item in value.items()]]
    return ["other", kind.__name__[:100]]


def _normal(code: str) -> str | None:
    try:
        tree = ast.parse(code)
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list) and body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
                node.body = body[1:] or [ast.Pass()]  # type: ignore[attr-defined]
        return ast.unparse(tree)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None


if __name__ == "__main__":
    main()
