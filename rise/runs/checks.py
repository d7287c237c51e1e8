"""What can be known to be impossible about one part of a recipe. `preflight.py` says which check precedes which work."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import warnings
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from rise.errors import ConfigError, DataError, ModelError, NotHereError, installing
from rise.judge import Judge
from rise.play.formats import find_format
from rise.play.pretrained import ADAPTERS, HUB_NAMES, check_files, check_no_file, is_cached, may_be_on_the_hub
from rise.play.prompt import Prompt
from rise.play.render import Renderer
from rise.policies import check_place, check_spec, is_bare, parse_spec
from rise.recipe.config import RunConfig, TrainConfig
from rise.recipe.improvers import IMPROVERS, INJECTED
from rise.recipe.machines import TRACKERS, ModelConfig
from rise.recipe.shipped import vllm_environment
from rise.task import Problem, Task
from rise.training.arguments import check_arguments, check_devices

# ---- the process and its packages ----------------------------------------------------------------------------------------


def check_process(config: RunConfig) -> None:
    """A whole run is one process; ranks are started by it."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError(
            f"WORLD_SIZE = {os.environ['WORLD_SIZE']}, but a whole run is one process: only `rise train` runs under torchrun. "
            'Start `rise run` by itself; train.launcher = "torchrun --nproc-per-node 4" gives its trainings several GPUs.'
        )


def check_packages(config: RunConfig) -> None:
    """The optional packages that this recipe uses."""
    needed = {"torch": "a run", "transformers": "a run"}
    if config.model.lora:
        needed["peft"] = "[model.lora]"
    if config.model.gguf_file:
        needed["gguf"] = f'model.gguf_file = "{config.model.gguf_file}"'
    for package, what in needed.items():
        if not installed(package):
            way_out = " Or leave it out to train all weights." if package == "peft" else ""
            raise ConfigError(f"{what} needs the package {package}: {installing('train')}.{way_out}")
    if config.model.lora:
        from rise.training.arguments import check_quantize

        check_quantize(config.model.lora)


def check_trackers(config: RunConfig) -> None:
    """The packages of trackers that the recipe names."""
    for name in config.track.to:
        if not installed(TRACKERS[name]):
            raise ConfigError(f'track.to has "{name}", which needs the package {TRACKERS[name]}: pip install {TRACKERS[name]}.')


def installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """An option has one of a few values."""
    if value not in choices:
        raise ConfigError(f"{name} {value}: use {', '.join(choices[:-1])} or {choices[-1]}.")


# ---- the model -----------------------------------------------------------------------------------------------------------


def check_model(config: RunConfig) -> None:
    """The model directory holds a model, and the chat format exists. A hub name that is not cached is merely missing."""
    check_format(config)
    model = config.model
    if not model.path:
        return
    named = f'model.path = "{model.path}"'
    check_place(model.place, named)
    where = Path(model.place)
    check_no_file(model.place, named)
    if not where.is_dir() and not may_be_on_the_hub(model.place) and not is_cached(model.place):
        raise ModelError(f"{named}: there is no such directory ({where.absolute()}). Mend the path; {HUB_NAMES}.")
    if where.is_dir() and model.gguf_file:
        if not (where / model.gguf_file).exists():
            raise ConfigError(f'model.gguf_file = "{model.gguf_file}", but there is no {where / model.gguf_file}.')
    elif where.is_dir():
        check_directory(where, named)
        check_files(where, named)
        check_config(where, named)
        check_continues(where, named)


def check_other_model(spec: str, named: str) -> None:
    """A teacher or judge that is a model directory could be loaded: what its files say of it, not the weights."""
    check_spec(spec, named)
    where = parse_spec(spec).directory
    if where is None or (where / "adapter_config.json").exists():  # adapters alone: vLLM's matter
        return
    said = f'{named} = "{spec}"'
    check_directory(where, said)
    check_files(where, said)
    check_config(where, said)
    if not spec.startswith("vllm:"):  # which reads models of other kinds too
        check_continues(where, said)
    check_embeddings(Renderer.load(where), where, said)


def check_format(config: RunConfig) -> None:
    """The chat format is one of ours."""
    if config.model.chat_format:
        find_format(config.model.chat_format)


def check_config(where: Path, named: str) -> None:
    """transformers knows the model, without code or packages that are not here."""
    from rise.training.model import check_quantised

    check_quantised(where, named)


def check_continues(where: Path, named: str) -> None:
    """It is a model that continues text, and its weights' names are those of that model: what else would be said when it is
    loaded."""
    from transformers import AutoModelForCausalLM

    from rise.training.model import check_places, config_of

    found = config_of(where)
    of_its_own = "AutoModelForCausalLM" in (getattr(found, "auto_map", None) or {})
    if not of_its_own and type(found) not in AutoModelForCausalLM._model_mapping:
        raise ModelError(
            f'{named}: model_type = "{found.model_type}" in its config.json is no causal language model of transformers. Take '
            "one that continues text, such as a Llama, Qwen or Mistral."
        )
    check_places(where)


def check_adapters(config: RunConfig) -> None:
    """The adapters have layers to stand beside, none of which shares its weights with another."""
    if not config.model.lora or config.model.gguf_file:
        return
    from rise.training import adapters

    if config.model.nano is not None:
        from rise.training.nano import nano_shape

        adapters.check_targets(nano_shape(config.model.nano, n_words=8), config.model.lora)
    elif Path(config.model.place).is_dir():
        from rise.training.model import config_of

        adapters.check_targets(config_of(config.model.place), config.model.lora)


def check_directory(where: Path, named: str) -> None:
    """A model directory has a config, weights and a tokenizer."""
    wanted = {
        "config.json": ("config.json",),
        "weights (*.safetensors or *.bin)": ("*.safetensors", "*.bin"),
        "tokenizer (tokenizer.json or tokenizer_config.json)": ("tokenizer.json", "tokenizer_config.json", "tokenizer.model"),
    }
    for what, patterns in wanted.items():
        if not any(True for pattern in patterns for _ in where.glob(pattern)):
            way_out = ADAPTERS if (where / "adapter_config.json").exists() else "Give the folder with the weights."
            raise ModelError(f"{named} holds no {what}, so it is no model directory. {way_out}")


def on_this_machine(model: ModelConfig) -> bool:
    """Whether the base model can be read without a network."""
    return model.path is None or Path(model.place).exists() or is_cached(model.path)


def student_renderer(config: RunConfig, task: Task, *prompts: Prompt, fetch: bool = True) -> Renderer | None:
    """The student's renderer: of the recipe's model, or made as that of a nano model is, which knows the words of `prompts`.

    None for a GGUF file, whose tokenizer is read when it is converted: that takes as long as reading the weights.

    Raises `ModelError` where the tokenizer or its chat template will not do, and, without `fetch`, `NotHereError` where it
    would have to come from the hub first.
    """
    if config.model.nano is not None:
        from rise.training.nano import make_tokenizer

        return Renderer(make_tokenizer(nano_alphabet(task, *prompts)))
    if not fetch and not on_this_machine(config.model):
        raise NotHereError(
            f"{config.model.path}: not on this machine (there is no directory {Path(config.model.place).absolute()}); fetched "
            "from the hub when the run begins, or give a directory"
        )
    if config.model.gguf_file:
        return None
    renderer = Renderer.load(config.model.place, chat_format=config.model.chat_format)
    check_embeddings(renderer, config.model.place, f'model.path = "{config.model.path}"')
    return renderer


def check_embeddings(renderer: Renderer, place: str | Path, named: str) -> None:
    """The model at `place` has an embedding for every token of its tokenizer."""
    from rise.training.model import check_vocabulary, config_of

    check_vocabulary(renderer.tokenizer, getattr(config_of(place).get_text_config(), "vocab_size", None), named)


def nano_alphabet(task: Task, *prompts: Prompt) -> str:
    """Every character that a nano model may be shown."""
    return (task.alphabet or "") + "".join(text for prompt in prompts for text in prompt.words().values()) + "?"


def check_alphabet(config: RunConfig, task: Task) -> None:
    """A nano model has one token per character, so its task must say which characters there are."""
    if config.model.nano and task.alphabet is None:
        raise ConfigError(
            f"model.nano needs a task with a fixed alphabet, which {config.task.name} has not. Use task.name = "
            '"arithmetic", or give a pretrained model: model.path.'
        )


def context_of(config: RunConfig) -> int | None:
    """How many tokens the base model was built for; None where nobody on this machine knows."""
    if config.model.nano is not None:
        return config.model.nano.max_length
    if config.model.gguf_file or not Path(config.model.place).is_dir():
        return None
    from rise.training.model import context_length

    return context_length(config.model.place)


# ---- problems ------------------------------------------------------------------------------------------------------------


def check_golds(judge: Judge, problems: Sequence[Problem]) -> None:
    """The judge can read what is right, before a reply is drawn for it."""
    for problem in problems:
        try:
            judge.check(problem)
        except DataError as error:
            raise DataError(f"problem {problem.id} ({problem.question[:60]!r}): {error}") from error


def say_shared(task: Task, training: Sequence[Sequence[Problem]], measured: Sequence[Problem]) -> None:
    """Say how many problems that are measured on are trained on too."""
    known = {task.key(problem.question) for part in {id(part): part for part in training}.values() for problem in part}
    shared = [problem for problem in measured if task.key(problem.question) in known]
    if shared:
        warnings.warn(
            f"{len(shared)} of {len(measured)} problems to measure on are also trained on, the first: "
            f"{shared[0].question[:60]!r}. What is measured on them says nothing of new problems: take them out of one of the "
            "files, or give one file, which is split by question (task.settings.path).",
            stacklevel=4,
        )


# ---- who generates and who improves --------------------------------------------------------------------------------------


def check_engine(config: RunConfig) -> None:
    """The engine's own Python is there."""
    if config.engine.kind == "vllm" and not Path(config.engine.python).exists():
        raise NotHereError(
            f'engine.kind = "vllm", but engine.python = "{config.engine.python}" is not there. Run `{vllm_environment()}`, name '
            'a Python that has vLLM, or set engine.kind = "auto" or "local".'
        )


def check_improver(config: RunConfig) -> None:
    """The models that improve or choose can be asked."""
    relabel, turns = config.relabel, config.rollout.policy
    if turns not in (None, INJECTED):
        check_other_model(turns or "", "rollout.policy")
    if IMPROVERS[relabel.improver].asks == "teacher" and relabel.teacher:
        check_other_model(relabel.teacher, "relabel.teacher")
    if relabel.select == "judge" and relabel.judge not in (None, "self"):
        check_other_model(relabel.judge or "", "relabel.judge")


def check_key(config: RunConfig) -> None:
    """The teacher's key, which a dry run names before it is needed."""
    key = config.http.key
    if (config.relabel.teacher or "").startswith("https:") and not os.environ.get(key):
        raise NotHereError(f"${key} for the teacher, if it wants a key")


# ---- training ------------------------------------------------------------------------------------------------------------


def trainings(config: RunConfig) -> Iterator[tuple[str, TrainConfig]]:
    """Each training of a recipe, by the name of its settings."""
    yield "train", config.train
    if config.boost.enabled:
        yield "boost.train", config.boost.train
        if config.boost.train_multi_turn:
            yield "boost.train_multi_turn", config.boost.train_multi_turn


def check_trainings(config: RunConfig) -> None:
    if config.model.dtype == "float16":
        raise ConfigError('model.dtype = "float16" is for measuring and serving; training needs "bfloat16" or "float32".')
    for name, training in trainings(config):
        check_arguments(training, name)
        check_devices(training, name)


def check_training(config: RunConfig) -> None:
    """`rise train` has devices of its launcher, so only the arguments are looked at."""
    check_arguments(config.train)


def check_space(config: RunConfig, out: Path | None) -> None:
    """Room on the disk for the checkpoints of every stage, where the size of the model is known."""
    if out is None:
        return
    there = next(parent for parent in (out.absolute(), *out.absolute().parents) if parent.exists())
    n_bytes = _model_bytes(config)
    made = sum(1 for _ in out.glob("*/checkpoint")) if out.exists() else 0
    stages = config.iterate.rounds + (2 if config.boost.enabled else 0) + (config.model.nano is not None)
    # Beside each checkpoint a training may keep its own: weights and two moments, in float32.
    wanted = n_bytes * (max(0, stages - made) + (4 if any(t.save_steps for _, t in trainings(config)) else 1))
    free = shutil.disk_usage(there).free
    if wanted > free:
        raise ConfigError(
            f"{out}: the run writes about {wanted / 2**30:.1f} GiB of checkpoints, and {free / 2**30:.1f} GiB are free on that "
            "disk. Free some, give another --out, or lower iterate.rounds."
        )


def _model_bytes(config: RunConfig) -> int:
    where = Path(config.model.place)
    if config.model.place and where.is_dir():
        return sum(file.stat().st_size for pattern in ("*.safetensors", "*.bin", "*.gguf") for file in where.glob(pattern))
    return 0


def need_solutions(problems: Sequence[Problem], who: str, way_out: str) -> None:
    """Raise `DataError` where a problem has no worked solution."""
    lacking = [problem for problem in problems if problem.solution is None]
    if lacking:
        raise DataError(
            f"{who} worked solutions, but {len(lacking)} of {len(problems)} problems have none; the first is {lacking[0].id}: "
            f"{lacking[0].question[:60]!r}. {way_out}, or give each problem a solution field."
        )


def with_engine(spec: str, config: RunConfig) -> str:
    """A bare directory or hub name with the kind of policy that `engine.kind` chooses; any other spec as it is."""
    if not is_bare(spec):
        return spec
    kind = config.engine.kind
    if kind == "auto":
        missing = not Path(config.engine.python).exists()
        kind = "local" if missing or config.deterministic else "vllm"
        if kind == "local":
            why = (
                f"there is no {config.engine.python} ({vllm_environment()})" if missing else "deterministic = true fixes batches"
            )
            _notice(f'engine.kind = "auto": generating with transformers in this process, since {why}.')
    return f"{kind}:{spec}"


@cache
def _notice(text: str) -> None:
    """Once a process, on standard error."""
    print(f"rise: {text}", file=sys.stderr)
