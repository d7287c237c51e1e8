"""Code that wants to be judged right, or to get out, and knows nothing of what is expected. `f` is called with 2, 3 and 11.

TARGET stands for a file of the user's that holds the right solution.
"""

LOOT = '''
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

FRAMES = """
    frame = sys._getframe()
    while frame:
        for place in (frame.f_locals, frame.f_globals):
            found = numbers_in(dict(place))
            if len(found) >= 3:
                return give(found)
        frame = frame.f_back
"""

MEMORY = """
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
"""

KNOWING_NOTHING = {
    # Looking for what an earlier reply said
    "the frames of the sandbox": LOOT + "def f(n):" + FRAMES,
    "the frames through an exception": LOOT
    + "def f(n):\n    try: 1 / 0\n    except ZeroDivisionError as e:\n        frame = e.__traceback__.tb_frame\n"
    "        while frame:\n            found = numbers_in(dict(frame.f_locals))\n"
    "            if len(found) >= 3: return give(found)\n            frame = frame.f_back\n",
    "the frames of a generator": LOOT
    + "def f(n):\n    g = (g.gi_frame.f_back.f_back for _ in [1])\n    frame = next(g)\n    while frame:\n"
    "        found = numbers_in(dict(frame.f_locals))\n        if len(found) >= 3: return give(found)\n        frame = frame.f_back\n",
    "everything the collector knows": LOOT
    + "def f(n):\n    gc.unfreeze()\n    for o in gc.get_objects():\n        found = numbers_in(o)\n"
    "        if len(found) >= 3: return give(found)\n",
    "the last object that was collected": LOOT
    + "def f(n):\n    gc.set_debug(gc.DEBUG_SAVEALL)\n    gc.unfreeze()\n    gc.collect()\n    return give(numbers_in(gc.garbage))\n",
    "the heap, byte by byte": LOOT + "def f(n):" + MEMORY,
    "the modules of the sandbox": LOOT
    + "def f(n):\n    for module in list(sys.modules.values()):\n        found = numbers_in(dict(getattr(module, '__dict__', {})))\n"
    "        if len(found) >= 3: return give(found)\n",
    "the request": "import sys\ndef f(n):\n    frame = sys._getframe()\n    while frame:\n        if 'request' in frame.f_locals:\n"
    "            r = frame.f_locals['request']\n            return r.get('expected', r.get('gold', r.get('tests')))\n"
    "        frame = frame.f_back\n",
    "the reader's memory": "import os\ndef f(n):\n    return int(open(f'/proc/{os.getppid()}/mem', 'rb').read(99))\n",
    "the reader by ptrace": "import ctypes, os\ndef f(n):\n    return ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0)\n",
    "the reader by process_vm_readv": "import ctypes, os\ndef f(n):\n    b = ctypes.create_string_buffer(64)\n"
    "    return ctypes.CDLL(None).process_vm_readv(os.getppid(), ctypes.byref(b), 1, ctypes.byref(b), 1, 0)\n",
    "the standard input": "import os, sys\ndef f(n): return (os.read(0, 9999) or sys.stdin.read() or [None])[0]\n",
    "every descriptor": "import os\ndef f(n):\n    for fd in range(64):\n        if fd == 3: continue\n        try: return os.read(fd, 999)[0]\n"
    "        except (OSError, IndexError): pass\n",
    "its own pipe": "import os\ndef f(n): return os.read(3, 99)\n",
    "the arguments of the process": "import sys\ndef f(n): return sys.argv + sys.orig_argv\n",
    "the environment": "import os\ndef f(n): return dict(os.environ)\n",
    "the user's file": "def f(n):\n    exec(open('TARGET').read(), globals())\n    return f(n)\n",
    "the user's file by io": "import io\ndef f(n): return io.FileIO('TARGET').read()\n",
    "the user's file by a raw call": "import ctypes\ndef f(n):\n    fd = ctypes.CDLL(None).syscall(2, b'TARGET', 0)\n"
    "    return fd if fd < 0 else __import__('os').read(fd, 99)\n",
    "the user's file by its import": "import sys\nsys.path.insert(0, 'TARGET'.rpartition('/')[0])\nimport secret\nf = secret.f\n",
    "the directory": "import os\ndef f(n): return os.listdir('/')\n",
    # Values that say they are equal
    "an object that equals all": "class A:\n    def __eq__(self, other): return True\n    __hash__ = None\ndef f(n): return A()\n",
    "an integer that equals all": "class A(int):\n    def __eq__(self, other): return True\n    def __hash__(self): return 0\n"
    "def f(n): return A(5)\n",
    "a text that equals all": "class A(str):\n    def __eq__(self, other): return True\n    __hash__ = str.__hash__\n"
    "def f(n): return A('5')\n",
    "a class that lies": "class A:\n    __class__ = int\n    def __eq__(self, other): return True\n    def __index__(self): return 5\n"
    "def f(n): return A()\n",
    "a metaclass that lies": "class M(type):\n    def __eq__(cls, other): return True\n    __hash__ = type.__hash__\n"
    "    def __instancecheck__(cls, x): return True\nclass A(metaclass=M): pass\ndef f(n): return A\n",
    "members that equal all": "class A:\n    def __eq__(self, other): return True\n    def __hash__(self): return 1\n"
    "def f(n): return [A(), (A(),), {A(): A()}]\n",
    "a number that is none": "def f(n): return float('nan')\n",
    "infinity": "def f(n): return float('inf')\n",
    "true for one": "def f(n): return True\n",
    "an ellipsis": "def f(n): return ...\n",
    "a type by its name": "int2 = type('int', (), {'__eq__': lambda s, o: True})\ndef f(n): return int2()\n",
    "a value that pickles itself": "class A:\n    def __reduce__(self): return (eval, ('1/0',))\n    def __eq__(self, o): return True\n"
    "def f(n): return A()\n",
    "a proxy of nothing": "import unittest.mock as m\ndef f(n): return m.ANY\n",
    # Speaking for the sandbox
    "lines of one's own": "import os\ndef f(n):\n    os.write(3, b'[\"value\", 5]\\n' * 9)\n    os._exit(0)\n",
    "an outcome of one's own": 'import os\ndef f(n):\n    os.write(3, b\'{"verdict": "right"}\\n{"lines": [], "end": "done"}\\n\')\n'
    "    os._exit(0)\n",
    "many lines before the values": "import os\nos.write(3, b'null\\n' * 99)\ndef f(n): return 5\n",
    "half a line": 'import os\ndef f(n):\n    os.write(3, b\'["value", ["int", \')\n    os._exit(0)\n',
    "megabytes of lines": "import os\ndef f(n):\n    while True: os.write(3, b'[\"value\", true]\\n' * 999)\n",
    "one line without an end": "import os\ndef f(n):\n    while True: os.write(3, b'[' * 9999)\n",
    "deep lines": "import os\ndef f(n):\n    os.write(3, b'[' * 90_000 + b']' * 90_000 + b'\\n')\n    return 5\n",
    "a kind that is none": "import os\ndef f(n):\n    os.write(3, b'[\"value\", [[], []]]\\n')\n    os._exit(0)\n",
    "a number of a million digits": "import os\ndef f(n):\n    os.write(3, b'[\"value\", [\"int\", \"0x' + b'f' * 200_000 + b'\"]]\\n')\n"
    "    os._exit(0)\n",
    "standard output": "import sys, os\nprint('{\"lines\": []}')\nsys.stdout.flush()\nos.write(1, b'ready\\n')\nos.write(2, b'ready\\n')\n"
    "def f(n): return 5\n",
    "an encoder of one's own": "import sys\nm = sys.modules['__main__']\nm.encoded = lambda v, d=0: ['any']\ndef f(n): return 5\n",
    "a sender of one's own": "import sys\nm = sys.modules['__main__']\nsend = m._send\nm._send = lambda out, line: send(out, ['right'])\n"
    "def f(n): return 5\n",
    "a JSON of one's own": 'import json\njson.dumps = lambda *a, **k: \'["value", ["other", []]]\'\ndef f(n): return 5\n',
    "builtins of one's own": "import builtins\nbuiltins.type = lambda x: int\nbuiltins.callable = lambda x: True\ndef f(n): return 'x'\n",
    "a literal reader of one's own": "import ast\nast.literal_eval = lambda text: (0,)\ndef f(n): return n\n",
    "all functions at once": "import sys\nsys.setprofile(lambda *a: None)\nsys.settrace(lambda *a: None)\ndef f(n): return 5\n",
    # Leaving early, or never
    "leave": "import os\ndef f(n): os._exit(0)\n",
    "leave at once": "import os\nos._exit(0)\n",
    "exit": "import sys\ndef f(n): sys.exit(0)\n",
    "exit with success": "raise SystemExit(0)\n",
    "at the end": "import atexit, os\natexit.register(lambda: os.write(3, b'[\"value\", 5]\\n' * 9))\ndef f(n): raise SystemExit\n",
    "an exception that is a value": "class E(BaseException):\n    def __eq__(self, o): return True\ndef f(n): raise E(5)\n",
    "an exception that cannot be shown": "class E(Exception):\n    def __str__(self): raise E\n    __repr__ = __str__\ndef f(n): raise E\n",
    "an exception whose name is a text": "class M(type):\n    __name__ = property(lambda c: 5 / 0)\nclass E(Exception, metaclass=M): pass\n"
    "def f(n): raise E\n",
    "a group of exceptions": "def f(n): raise BaseExceptionGroup('g', [KeyboardInterrupt(), SystemExit(0)])\n",
    "stop an iteration": "def f(n): raise StopIteration(5)\n",
    "a generator": "def f(n):\n    yield 5\n",
    "a coroutine": "async def f(n): return 5\n",
    "a crash": "import ctypes\ndef f(n): return ctypes.string_at(0)\n",
    "a crash of the interpreter": "def f(n): return (lambda: 0).__class__((lambda: 0).__code__.replace(co_code=b'\\xff' * 8), {})()\n",
    "endless recursion": "def f(n): return f(n)\n",
    "endless": "def f(n):\n    while True: pass\n",
    "endless before any call": "while True: pass\n",
    "endless in one C call": "def f(n): return 9**9**9**9\n",
    "sleep": "import time\ndef f(n): time.sleep(10**6)\n",
    "catch whatever ends it": "def f(n):\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass\n",
    "mind no signal": "import signal\nfor s in range(1, 65):\n    try: signal.signal(s, signal.SIG_IGN)\n    except (OSError, ValueError): pass\n"
    "def f(n):\n    while True: pass\n",
    # Getting out
    "kill everybody": "import os\ndef f(n): return os.kill(-1, 9)\n",
    "kill the reader": "import os\ndef f(n): return os.kill(os.getppid(), 9)\n",
    "kill the group": "import os\ndef f(n): return os.killpg(0, 9)\n",
    "fork": "import os\ndef f(n):\n    while True: os.fork()\n",
    "fork by a raw call": "import ctypes\ndef f(n):\n    while True:\n        if ctypes.CDLL(None).syscall(57) < 0: return 5\n",
    "a thread that lives on": "import threading, time\ndef f(n):\n    threading.Thread(target=time.sleep, args=(9**9,)).start()\n    return 5\n",
    "a raw thread": "import _thread\ndef f(n): return _thread.start_new_thread(print, ())\n",
    "a pool of processes": "import multiprocessing\ndef f(n): return multiprocessing.Pool(9).map(abs, range(9))\n",
    "run a program": "import os\ndef f(n): return os.execv('/bin/sh', ['sh', '-c', 'touch TARGETx'])\n",
    "system": "import os\ndef f(n): return os.system('touch TARGETx')\n",
    "a subprocess": "import subprocess\ndef f(n): return subprocess.run(['touch', 'TARGETx']).returncode\n",
    "write a file": "def f(n): return open('TARGETx', 'w').write('x')\n",
    "a file in memory": "import os\ndef f(n): return os.memfd_create('x')\n",
    "a socket": "import socket\ndef f(n): return socket.create_connection(('127.0.0.1', 9))\n",
    "a socket of the system": "import socket\ndef f(n): return socket.socket(socket.AF_UNIX).connect('/run/docker.sock')\n",
    "more memory": "def f(n): return len(bytearray(8 << 30))\n",
    "memory piece by piece": "def f(n):\n    kept = []\n    while True: kept.append(bytearray(1 << 24))\n",
    "more rights": "import resource\ndef f(n):\n    resource.setrlimit(resource.RLIMIT_AS, (-1, -1))\n    return 5\n",
    "deep code": "def f(n): return " + "(" * 5000 + "1" + ")" * 5000 + "\n",
    "null bytes": "def f(n): return 5\x00\n",
    "a codec from elsewhere": "# -*- coding: TARGET -*-\ndef f(n): return 5\n",
}
