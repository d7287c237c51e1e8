"""Machines of a cluster as people have them: `ray start` in processes of their own; and `rise` as a process beside them."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

from ray_helpers import PATIENCE_S, running, wait_until

BIN = Path(sys.executable).parent
ROOT = Path(__file__).resolve().parents[2]


RAYS_OWN = tuple(
    f"ray::{name}" for name in ("IDLE", "DashboardAgent", "RuntimeEnvAgent", "_AutoscalingCoordinator", "PlacementGroupCleaner")
)
"""The last two are detached actors of Ray Train without processors; a cleaner whose driver was killed stays where there is no
dashboard to ask (ray 2.60)."""


class Machines:
    """Nodes of one processor each. Everything they start carries a mark in its environment, by which it is found again."""

    def __init__(self, n=2, hidden=None):
        """`hidden`: a directory that the last machine does not share with the others."""
        self.mark = uuid.uuid4().hex
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{found.getsockname()[1]}"
        self.scratch = tempfile.mkdtemp(prefix="rise-ray-")  # short: paths of sockets are limited
        self.nodes = []
        for number in range(n):
            words = ["--num-cpus=1", "--node-ip-address=127.0.0.1", "--block", "--disable-usage-stats"]
            if number == 0:
                port = self.address.split(":")[1]
                words = ["--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={self.scratch}", *words]
            else:
                words = [f"--address={self.address}", *words]
            command = [str(BIN / "ray"), "start", *words]
            if hidden and number == n - 1:
                mounted = f'mount -t tmpfs none {hidden} && exec "$@"'
                command = ["unshare", "--mount", "sh", "-c", mounted, "sh", *command]
            log = open(Path(self.scratch) / f"node-{number}.log", "w")  # noqa: SIM115 (the process keeps it)
            self.nodes.append(subprocess.Popen(command, stdout=log, stderr=log, env=self.environment(), start_new_session=True))
            if number == 0:
                wait_until(self.answers, "an answer of the head")

    def answers(self):
        with contextlib.suppress(OSError):
            host, port = self.address.split(":")
            socket.create_connection((host, int(port)), timeout=1).close()
            return True
        return False

    def environment(self):
        own = {"RISE_TEST_MARK": self.mark, "OMP_NUM_THREADS": "1", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
        own |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.mark * 2}
        return {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"} | own

    def stop(self):
        for node in self.nodes:
            node.terminate()
        for node in self.nodes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                node.wait(30)
        for pid in marked(self.mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.scratch, ignore_errors=True)

    def at_work(self):
        """Titles of processes that do something for a run; those that wait for work, and Ray's own services, are its affair."""
        titles = {pid: Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode() for pid in marked(self.mark)}
        return [title for title in titles.values() if title.startswith("ray::") and not title.startswith(RAYS_OWN)]


def marked(mark):
    """Processes with that mark in their environment."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"RISE_TEST_MARK={mark}".encode() in (place / "environ").read_bytes() and running(place.name):
                found.append(int(place.name))
    return found


class Rise:
    """`rise …` as a process."""

    def __init__(self, *words, cwd, environment=None, python=None):
        self.mark = uuid.uuid4().hex
        env = environment or {**os.environ, "OMP_NUM_THREADS": "1"}
        env = {**env, "RISE_TEST_MARK": env.get("RISE_TEST_MARK", self.mark)}
        command = [sys.executable, *(["-c", python] if python else ["-m", "rise.cli.main"]), *map(str, words)]
        self.file = tempfile.TemporaryFile("w+")  # noqa: SIM115 (the process keeps it)
        self.process = subprocess.Popen(command, cwd=cwd, env=env, stdout=self.file, stderr=self.file, start_new_session=True)

    def said(self):
        self.file.seek(0)
        return self.file.read()

    def done(self, patience_s=PATIENCE_S * 2):
        """Exit code."""
        try:
            return self.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"rise did not end:\n{self.said()[-3000:]}") from None

    def when(self, happened, what, number=signal.SIGKILL):
        """Send a signal the moment something has happened."""
        deadline = time.monotonic() + PATIENCE_S
        while not happened():
            assert self.process.poll() is None, f"ended before {what}:\n{self.said()[-3000:]}"
            assert time.monotonic() < deadline, f"{what} did not happen:\n{self.said()[-3000:]}"
            time.sleep(0.005)
        self.process.send_signal(number)
        return self.done()
