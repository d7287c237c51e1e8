"""Code that wants to be judged right, or to get out, and knows nothing of what is expected. `f` is called with 2, 3 and 11.

TARGET stands for a file of the user's that holds the right solution.
"""

import re

LOOT = r'''
import gc, re, sys

_SAID = re.compile(r'"int", "(0x[0-9a-f]+)"')
_n = [0]


def numbers_in(thing, depth=0, seen=None):
    """Values of an earlier reply, as the sandbox speaks of them, wherever they stand in a thing."""
    seen = set() if seen is None else seen
    if depth > 6 or id(thing) in seen:
        return []
    seen.add(id(thing))
    if isinstance(thing, (bytes, bytearray)):
        return [int(x, 16) for x in _SAID.findall(bytes(thing).decode("latin-1"))]
    if isinstance(thing, str):
        return [int(x, 16) for x in _SAID.findall(thing)]
    if isinstance(thing, dict):
        thing = list(thing.values())
    if isinstance(thing, (list, tuple)):
        if len(thing) == 2 and thing[0] == "int" and isinstance(thing[1], str):
            return [int(thing[1], 16)]
        return [x for item in list(thing)[:1000] for x in numbers_in(item, depth + 1, seen)]
    return []


def give(found):
    _n[0] += 1
    return found[_n[0] - 1]
'''
"""What those use that look for an earlier reply's values."""

ATTACKS = r"""
######## Looking for what an earlier reply said

#### the frames of the sandbox (with LOOT)
def f(n):
    frame = sys._getframe()
    while frame:
        for place in (frame.f_locals, frame.f_globals):
            found = numbers_in(dict(place))
            if len(found) >= 3:
                return give(found)
        frame = frame.f_back

#### the frames through an exception (with LOOT)
def f(n):
    try: 1 / 0
    except ZeroDivisionError as e:
        frame = e.__traceback__.tb_frame
        while frame:
            found = numbers_in(dict(frame.f_locals))
            if len(found) >= 3: return give(found)
            frame = frame.f_back

#### the frames of a generator (with LOOT)
def f(n):
    g = (g.gi_frame.f_back.f_back for _ in [1])
    frame = next(g)
    while frame:
        found = numbers_in(dict(frame.f_locals))
        if len(found) >= 3: return give(found)
        frame = frame.f_back

#### everything the collector knows (with LOOT)
def f(n):
    gc.unfreeze()
    for o in gc.get_objects():
        found = numbers_in(o)
        if len(found) >= 3: return give(found)

#### the last object that was collected (with LOOT)
def f(n):
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.unfreeze()
    gc.collect()
    return give(numbers_in(gc.garbage))

#### the heap, byte by byte (with LOOT)
def f(n):
    import ctypes
    libc = ctypes.CDLL(None)
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    starts = sorted({id(o) >> 20 << 20 for o in gc.get_objects()} | {id(x) >> 20 << 20 for x in (object(), "x" * 99, b"y" * 999)})
    for start in starts:
        for page in range(start, start + (1 << 20), 4096):
            if libc.madvise(page, 4096, 0) == 0:
                found = [int(x, 16) for x in re.findall(rb'"value", ."int", "(0x[0-9a-f]+)"', ctypes.string_at(page, 4096))]
                if len(found) >= 3:
                    return give(found)

#### the modules of the sandbox (with LOOT)
def f(n):
    for module in list(sys.modules.values()):
        found = numbers_in(dict(getattr(module, '__dict__', {})))
        if len(found) >= 3: return give(found)

#### the request
import sys
def f(n):
    frame = sys._getframe()
    while frame:
        if 'request' in frame.f_locals:
            r = frame.f_locals['request']
            return r.get('expected', r.get('gold', r.get('tests')))
        frame = frame.f_back

#### the reader's memory
import os
def f(n):
    return int(open(f'/proc/{os.getppid()}/mem', 'rb').read(99))

#### the reader by ptrace
import ctypes, os
def f(n):
    return ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0)

#### the reader by process_vm_readv
import ctypes, os
def f(n):
    b = ctypes.create_string_buffer(64)
    return ctypes.CDLL(None).process_vm_readv(os.getppid(), ctypes.byref(b), 1, ctypes.byref(b), 1, 0)

#### the standard input
import os, sys
def f(n): return (os.read(0, 9999) or sys.stdin.read() or [None])[0]

#### every descriptor
import os
def f(n):
    for fd in range(64):
        if fd == 3: continue
        try: return os.read(fd, 999)[0]
        except (OSError, IndexError): pass

#### its own pipe
import os
def f(n): return os.read(3, 99)

#### the arguments of the process
import sys
def f(n): return sys.argv + sys.orig_argv

#### the environment
import os
def f(n): return dict(os.environ)

#### the user's file
def f(n):
    exec(open('TARGET').read(), globals())
    return f(n)

#### the user's file by io
import io
def f(n): return io.FileIO('TARGET').read()

#### the user's file by a raw call
import ctypes
def f(n):
    fd = ctypes.CDLL(None).syscall(2, b'TARGET', 0)
    return fd if fd < 0 else __import__('os').read(fd, 99)

#### the user's file by its import
import sys
sys.path.insert(0, 'TARGET'.rpartition('/')[0])
import secret
f = secret.f

#### the directory
import os
def f(n): return os.listdir('/')

######## Values that say they are equal

#### an object that equals all
class A:
    def __eq__(self, other): return True
    __hash__ = None
def f(n): return A()

#### an integer that equals all
class A(int):
    def __eq__(self, other): return True
    def __hash__(self): return 0
def f(n): return A(5)

#### a text that equals all
class A(str):
    def __eq__(self, other): return True
    __hash__ = str.__hash__
def f(n): return A('5')

#### a class that lies
class A:
    __class__ = int
    def __eq__(self, other): return True
    def __index__(self): return 5
def f(n): return A()

#### a metaclass that lies
class M(type):
    def __eq__(cls, other): return True
    __hash__ = type.__hash__
    def __instancecheck__(cls, x): return True
class A(metaclass=M): pass
def f(n): return A

#### members that equal all
class A:
    def __eq__(self, other): return True
    def __hash__(self): return 1
def f(n): return [A(), (A(),), {A(): A()}]

#### a number that is none
def f(n): return float('nan')

#### infinity
def f(n): return float('inf')

#### true for one
def f(n): return True

#### an ellipsis
def f(n): return ...

#### a type by its name
int2 = type('int', (), {'__eq__': lambda s, o: True})
def f(n): return int2()

#### a value that pickles itself
class A:
    def __reduce__(self): return (eval, ('1/0',))
    def __eq__(self, o): return True
def f(n): return A()

#### a proxy of nothing
import unittest.mock as m
def f(n): return m.ANY

######## Speaking for the sandbox

#### lines of one's own
import os
def f(n):
    os.write(3, b'["value", 5]\n' * 9)
    os._exit(0)

#### an outcome of one's own
import os
def f(n):
    os.write(3, b'{"verdict": "right"}\n{"lines": [], "end": "done"}\n')
    os._exit(0)

#### many lines before the values
import os
os.write(3, b'null\n' * 99)
def f(n): return 5

#### half a line
import os
def f(n):
    os.write(3, b'["value", ["int", ')
    os._exit(0)

#### megabytes of lines
import os
def f(n):
    while True: os.write(3, b'["value", true]\n' * 999)

#### one line without an end
import os
def f(n):
    while True: os.write(3, b'[' * 9999)

#### deep lines
import os
def f(n):
    os.write(3, b'[' * 90_000 + b']' * 90_000 + b'\n')
    return 5

#### a kind that is none
import os
def f(n):
    os.write(3, b'["value", [[], []]]\n')
    os._exit(0)

#### a number of a million digits
import os
def f(n):
    os.write(3, b'["value", ["int", "0x' + b'f' * 200_000 + b'"]]\n')
    os._exit(0)

#### standard output
import sys, os
print('{"lines": []}')
sys.stdout.flush()
os.write(1, b'ready\n')
os.write(2, b'ready\n')
def f(n): return 5

#### an encoder of one's own
import sys
m = sys.modules['__main__']
m.encoded = lambda v, d=0: ['any']
def f(n): return 5

#### a sender of one's own
import sys
m = sys.modules['__main__']
send = m._send
m._send = lambda out, line: send(out, ['right'])
def f(n): return 5

#### a JSON of one's own
import json
json.dumps = lambda *a, **k: '["value", ["other", []]]'
def f(n): return 5

#### builtins of one's own
import builtins
builtins.type = lambda x: int
builtins.callable = lambda x: True
def f(n): return 'x'

#### a literal reader of one's own
import ast
ast.literal_eval = lambda text: (0,)
def f(n): return n

#### all functions at once
import sys
sys.setprofile(lambda *a: None)
sys.settrace(lambda *a: None)
def f(n): return 5

######## Leaving early, or never

#### leave
import os
def f(n): os._exit(0)

#### leave at once
import os
os._exit(0)

#### exit
import sys
def f(n): sys.exit(0)

#### exit with success
raise SystemExit(0)

#### at the end
import atexit, os
atexit.register(lambda: os.write(3, b'["value", 5]\n' * 9))
def f(n): raise SystemExit

#### an exception that is a value
class E(BaseException):
    def __eq__(self, o): return True
def f(n): raise E(5)

#### an exception that cannot be shown
class E(Exception):
    def __str__(self): raise E
    __repr__ = __str__
def f(n): raise E

#### an exception whose name is a text
class M(type):
    __name__ = property(lambda c: 5 / 0)
class E(Exception, metaclass=M): pass
def f(n): raise E

#### a group of exceptions
def f(n): raise BaseExceptionGroup('g', [KeyboardInterrupt(), SystemExit(0)])

#### stop an iteration
def f(n): raise StopIteration(5)

#### a generator
def f(n):
    yield 5

#### a coroutine
async def f(n): return 5

#### a crash
import ctypes
def f(n): return ctypes.string_at(0)

#### a crash of the interpreter
def f(n): return (lambda: 0).__class__((lambda: 0).__code__.replace(co_code=b'\xff' * 8), {})()

#### endless recursion
def f(n): return f(n)

#### endless
def f(n):
    while True: pass

#### endless before any call
while True: pass

#### endless in one C call
def f(n): return 9**9**9**9

#### sleep
import time
def f(n): time.sleep(10**6)

#### catch whatever ends it
def f(n):
    while True:
        try:
            while True: pass
        except BaseException: pass

#### mind no signal
import signal
for s in range(1, 65):
    try: signal.signal(s, signal.SIG_IGN)
    except (OSError, ValueError): pass
def f(n):
    while True: pass

######## Getting out

#### kill everybody
import os
def f(n): return os.kill(-1, 9)

#### kill the reader
import os
def f(n): return os.kill(os.getppid(), 9)

#### kill the group
import os
def f(n): return os.killpg(0, 9)

#### fork
import os
def f(n):
    while True: os.fork()

#### fork by a raw call
import ctypes
def f(n):
    while True:
        if ctypes.CDLL(None).syscall(57) < 0: return 5

#### a thread that lives on
import threading, time
def f(n):
    threading.Thread(target=time.sleep, args=(9**9,)).start()
    return 5

#### a raw thread
import _thread
def f(n): return _thread.start_new_thread(print, ())

#### a pool of processes
import multiprocessing
def f(n): return multiprocessing.Pool(9).map(abs, range(9))

#### run a program
import os
def f(n): return os.execv('/bin/sh', ['sh', '-c', 'touch TARGETx'])

#### system
import os
def f(n): return os.system('touch TARGETx')

#### a subprocess
import subprocess
def f(n): return subprocess.run(['touch', 'TARGETx']).returncode

#### write a file
def f(n): return open('TARGETx', 'w').write('x')

#### a file in memory
import os
def f(n): return os.memfd_create('x')

#### a socket
import socket
def f(n): return socket.create_connection(('127.0.0.1', 9))

#### a socket of the system
import socket
def f(n): return socket.socket(socket.AF_UNIX).connect('/run/docker.sock')

#### more memory
def f(n): return len(bytearray(8 << 30))

#### memory piece by piece
def f(n):
    kept = []
    while True: kept.append(bytearray(1 << 24))

#### more rights
import resource
def f(n):
    resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
    return 5

#### a codec from elsewhere
# -*- coding: TARGET -*-
def f(n): return 5
"""

KNOWING_NOTHING = {
    "deep code": "def f(n): return " + "(" * 5000 + "1" + ")" * 5000,
    "null bytes": "def f(n): return 5\x00",
}
for _name, _loot, _code in re.findall(r"^#### (.+?)( \(with LOOT\))?\n((?:(?!####).*\n)*)", ATTACKS, re.MULTILINE):
    KNOWING_NOTHING[_name] = (LOOT if _loot else "") + _code
