"""Runs of one recipe that differ in the seed alone: `NAME/seed-0`, `NAME/seed-1`, … and what says that they belong together."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rise.errors import ConfigError, ResumeError
from rise.jsonl import read_json, write_whole
from rise.recipe.config import RunConfig
from rise.recipe.toml import build_config, load_recipe, merged, to_toml
from rise.runs.continuing import refused
from rise.runs.directory import RunDir
from rise.training.threads import threads_of


@dataclass(frozen=True, slots=True)
class GroupDir:
    """The directory of a recipe's seeds. Each seed's own is an ordinary run directory."""

    path: Path

    @property
    def about(self) -> Path:
        """seeds.json: which seeds, and the command. A directory that holds it is a group."""
        return self.path / "seeds.json"

    @property
    def recipe(self) -> Path:
        """recipe.toml: the resolved recipe that all seeds share; the seed that stands in it is the first."""
        return self.path / "recipe.toml"

    def seed(self, seed: int) -> RunDir:
        return RunDir(self.path / f"seed-{seed}")

    def read(self) -> dict[str, Any]:
        return read_json(self.about)

    def seeds(self) -> list[int]:
        return [int(seed) for seed in self.read()["seeds"]]

    def begun(self) -> list[int]:
        """Seeds whose run directory has been made."""
        return [seed for seed in self.seeds() if self.seed(seed).config.exists()]

    def forget(self) -> None:
        """Remove what names the seeds of a group none of which has begun."""
        for file in (self.about, self.recipe):
            file.unlink(missing_ok=True)
        if not any(self.path.iterdir()):
            self.path.rmdir()

    def open(self, config: RunConfig, seeds: Sequence[int], command: list[str] | None = None) -> None:
        """Make the directory, or continue the one that is there; a seed that is new to it is added.

        Raises `ResumeError` where it was made by another recipe, or holds something else.
        """
        known: list[int] = []
        if self.about.exists():
            known = self.seeds()
            old, new = (with_seed(recipe, 0) for recipe in (load_recipe(self.recipe), config))
            # What every seed that has begun may still change, all of them may.
            runs: list[Path | None] = [self.seed(seed).path for seed in self.begun()]
            changed = list(dict.fromkeys(line for run in runs or [None] for line in refused(run, old, new)[0]))
            if changed:
                shown = "\n  ".join(changed)
                raise ResumeError(
                    f"{self.path} was made by another recipe:\n  {shown}\n"
                    f"Continue it with its own settings (rise run {self.path}), or give another --out."
                )
        elif self.path.exists() and any(file.name not in OWN for file in self.path.iterdir()):
            raise ResumeError(
                f"{self.path} is not empty and holds no {self.about.name}, so no seeds can be put there. Give them a folder of "
                f"their own: --out {self.path}-seeds."
            )
        self.path.mkdir(parents=True, exist_ok=True)
        every = sorted({*known, *seeds})
        about = self.read() if known else {"command": command}
        write_whole(self.recipe, to_toml(with_seed(config, every[0])))
        write_whole(self.about, json.dumps({**about, "seeds": every}, indent=1) + "\n")


OWN = ("recipe.toml", "recipe.toml.partial", "seeds.json.partial")
"""What a kill before seeds.json was written may leave."""


def is_group(path: Path) -> bool:
    """Whether a directory holds the seeds of one recipe."""
    return GroupDir(Path(path)).about.exists()


def seed_hint(path: Path) -> str:
    """The tail of an error about a path that must be one run: what to give where it is a group of seeds; else nothing.

    >>> seed_hint(Path("nowhere"))
    ''
    """
    if not is_group(path):
        return ""
    return f" It holds several seeds: give one, {GroupDir(path).seed(GroupDir(path).seeds()[0]).path} for example."


def opened_out(paths: Iterable[Path]) -> list[Path]:
    """Run directories, with a group replaced by those of its seeds that have begun."""
    found: list[Path] = []
    for path in paths:
        group = GroupDir(Path(path))
        found += [group.seed(seed).path for seed in group.begun()] or [group.path] if is_group(path) else [Path(path)]
    return found


def runs_in(folder: Path) -> list[Path]:
    """The runs of a folder that is none itself, groups of seeds among them, by name; else the folder as it is."""
    if is_group(folder) or RunDir(folder).config.exists() or not folder.is_dir():
        return [folder]
    return sorted(p for p in folder.iterdir() if is_group(p) or RunDir(p).config.exists()) or [folder]


def parse_seeds(text: str) -> list[int]:
    """Seeds as they are written on a command line. Raises `ConfigError` for anything but different whole numbers from 0.

    >>> parse_seeds("0,1,2")
    [0, 1, 2]
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() for part in parts) or len({*map(int, parts)}) < len(parts):
        raise ConfigError(f"--seeds {text}: write different whole numbers, 0,1,2 for example.")
    return [int(part) for part in parts]


def overrides(config: RunConfig, seed: int) -> dict[str, Any]:
    """What a seed's recipe has otherwise than the group's: its seed; and where boost and data of a group are taken over, its own.

    Nothing else is shared between seeds: base, boost and replies come of the seed. A base given by model.path is one file anyway.
    """
    reuse = config.boost.reuse
    own = {"boost": {"reuse": str(GroupDir(Path(reuse)).seed(seed).path)}} if reuse and is_group(Path(reuse)) else {}
    return {"seed": seed, **own}


def with_seed(config: RunConfig, seed: int) -> RunConfig:
    """The same recipe with another seed."""
    return build_config(merged(config.model_dump(), {"seed": seed}))


def for_seed(config: RunConfig, seed: int) -> RunConfig:
    """The recipe of one seed of a group."""
    return build_config(merged(config.model_dump(), overrides(config, seed)))


def at_a_time(config: RunConfig, n_seeds: int, cores: int, *, one_device: bool = False) -> tuple[int, int | None]:
    """(seeds at a time, threads of each). Threads are None where the recipe fixes them: they change sums, so they stay.

    One after the other where seeds would share an accelerator (`one_device`) or a cluster.
    """
    fixed = threads_of(config)
    alone = one_device or config.cluster is not None
    jobs = 1 if alone else max(1, min(n_seeds, cores // (fixed or 1)))
    return jobs, share(config, jobs, cores)


def share(config: RunConfig, jobs: int, cores: int) -> int | None:
    """Threads of each of `jobs` seeds at a time; None where the recipe fixes them."""
    return None if threads_of(config) is not None else max(1, cores // jobs)
