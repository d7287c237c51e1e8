"""`rise run --seeds`: one process of the same command a seed, as many at a time as there are cores for."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rise.recipe.config import RunConfig
    from rise.runs.group import GroupDir

LOOK_EVERY_S = 0.1
GRACE_S = 15.0
"""What a seed has to end in after Ctrl-C."""


def plan(config: RunConfig, seeds: Sequence[int], jobs: int | None) -> tuple[int, int | None]:
    """(seeds at a time, threads of each where the recipe leaves them open)."""
    from rise.runs.directory import cpu_count
    from rise.runs.group import at_a_time, share
    from rise.training.threads import has_accelerator

    cores = cpu_count()
    if jobs is None:
        return at_a_time(config, len(seeds), cores, one_device=has_accelerator())
    return min(jobs, len(seeds)), share(config, min(jobs, len(seeds)), cores)


def run_seeds(config: RunConfig, out: Path, seeds: Sequence[int], jobs: int | None, *, table: bool = True) -> None:
    """Run or continue every seed, then write the group's report. A seed that fails stops no other; exit code 1 then."""
    from rise.runs.group import GroupDir, for_seed
    from rise.runs.preflight import preflight

    group = GroupDir(out)
    preflight(for_seed(config, seeds[0]), out=group.seed(seeds[0]).path)
    n_jobs, threads = plan(config, seeds, jobs)
    group.open(config, seeds, command=["rise", *sys.argv[1:]])
    print(f"{out}: seeds {', '.join(map(str, seeds))}, {n_jobs} at a time", flush=True)
    failed = Children(group, config, threads).run(seeds, n_jobs)
    if not group.begun():
        group.forget()  # no seed came so far as to have a directory
    else:
        _report(group, table=table)
    for seed, child in failed.items():
        print(f"rise: seed {seed} failed ({_how(child)}): {child.said}", file=sys.stderr)
        print(f"rise: continue it with: {shlex.join(continuing(group, config, seed))}", file=sys.stderr)
    if failed:
        sys.exit(1)


def continuing(group: GroupDir, config: RunConfig, seed: int) -> list[str]:
    """The command of one seed, for a person."""
    begun = group.seed(seed).config.exists()
    return ["rise", "run", str(group.seed(seed).path)] if begun else ["rise", *command(group, config, seed)[3:]]


def command(group: GroupDir, config: RunConfig, seed: int) -> list[str]:
    """The command of one seed, for this interpreter; behind the third word, as a person writes it."""
    from rise.runs.group import overrides

    own = overrides(config, seed)
    sets = [f"seed={seed}", *(f"boost.{name}={json.dumps(value)}" for name, value in own.get("boost", {}).items())]
    words = [word for setting in sets for word in ("--set", setting)]
    out = str(group.seed(seed).path)
    return [sys.executable, "-m", "rise.cli.main", "run", str(group.recipe), *words, "--out", out, "--no-table"]


@dataclass
class Child:
    """One seed at work."""

    process: subprocess.Popen[str]
    reader: threading.Thread
    last: deque[str]

    @property
    def said(self) -> str:
        """Its last line, which names the trouble."""
        return self.last[-1].removeprefix("rise: ") if self.last else "it said nothing"


class Children:
    """The processes of a group. They end when this one does, however it ends."""

    def __init__(self, group: GroupDir, config: RunConfig, threads: int | None) -> None:
        self.group, self.config = group, config
        self.environment = _environment(threads)
        self.quiet = False
        """After Ctrl-C: what seeds say about their own end is not repeated."""

    def run(self, seeds: Sequence[int], jobs: int) -> dict[int, Child]:
        """Every seed to its end, `jobs` at a time. Returns those that failed."""
        waiting, running, failed = deque(seeds), dict[int, Child](), dict[int, Child]()
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    seed = waiting.popleft()
                    running[seed] = self._start(seed)
                for seed, child in list(running.items()):
                    if child.process.poll() is not None:
                        child.reader.join()
                        del running[seed]
                        if child.process.returncode != 0:
                            failed[seed] = child
                time.sleep(LOOK_EVERY_S)
        finally:
            self._stop(running.values())
        return failed

    def _start(self, seed: int) -> Child:
        from rise.policies.reaper import dies_with_parent

        process = subprocess.Popen(
            command(self.group, self.config, seed),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=self.environment,
            start_new_session=True,  # Ctrl-C reaches it through us alone
            preexec_fn=dies_with_parent,
        )
        last: deque[str] = deque(maxlen=1)
        reader = threading.Thread(target=self._read, args=(seed, process, last), daemon=True)
        reader.start()
        return Child(process, reader, last)

    def _read(self, seed: int, process: subprocess.Popen[str], last: deque[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            text = line.rstrip()
            if text and not self.quiet:
                last.append(text)
                print(f"seed {seed} │ {text}", flush=True)

    def _stop(self, children: Any) -> None:
        """As Ctrl-C would; who does not end is killed, which loses nothing that was finished."""
        left = [child for child in children if child.process.poll() is None]
        self.quiet = self.quiet or bool(left)
        for child in left:
            with contextlib.suppress(ProcessLookupError):
                child.process.send_signal(signal.SIGINT)
        end = time.monotonic() + GRACE_S
        for child in left:
            try:
                child.process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()


def _environment(threads: int | None) -> dict[str, str]:
    """Lines at once, as wide as the terminal beside the name of the seed, and the share of threads."""
    width = shutil.get_terminal_size((120, 24)).columns - len("seed 0 │ ")
    given = {"PYTHONUNBUFFERED": "1", "COLUMNS": str(max(60, width))}
    if threads is not None:
        given |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    return {**os.environ, **given}


def _how(child: Child) -> str:
    code = child.process.returncode
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"


def _report(group: GroupDir, *, table: bool) -> None:
    """The group's pages and, if wanted, its table, as far as seeds have got."""
    from rich.console import Console

    from rise.report import console_table, write_report

    if not group.begun():
        return
    html, _ = write_report(group.path)
    if table:
        Console().print(console_table(group.path))
    print(f"Report: {html}", flush=True)
