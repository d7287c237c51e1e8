"""README.md of a checkpoint, made from the run: what it is, its numbers with intervals, its limits, how it is used.

Every checkpoint carries one from the moment it is trained, and again with numbers when its stage is measured. It holds no clock,
path or name of a machine, and the weights' hash does not depend on it. `rise push` sends it with the repository's name in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rise
from rise.evaluation.headline import HEADLINE, PAIRED, as_read, named, sizes
from rise.evaluation.held_out import HeldOut, read_held_out
from rise.evaluation.markdown import fenced, inline
from rise.evaluation.outcomes import wrong_to_right
from rise.evaluation.printed import DASH, count, percent, percent_interval, points, points_interval
from rise.evaluation.uncertainty import NOTHING, Estimate
from rise.jsonl import write_whole
from rise.recipe.bases import PREFIX
from rise.recipe.config import RunConfig
from rise.recipe.improvers import IMPROVERS
from rise.recipe.methods import method_of
from rise.recipe.own_code import is_own_code
from rise.recipe.public import placed, shortened
from rise.recipe.wordings import feedback_mode, feedback_words
from rise.runs import stages
from rise.runs.alarms import FEW_PROBLEMS, toy_words
from rise.runs.base_licence import base_licence, stated_in
from rise.runs.directory import RunDir, StageDir

NAME = "README.md"
HERE = "this-folder"
"""What the card calls the model until it has a repository."""
PAPER = "https://arxiv.org/abs/2407.18219"


@dataclass(frozen=True, slots=True)
class About:
    """What a card is made from."""

    config: RunConfig
    instructions: str | None
    """The system text that it was trained with; None: none."""
    stage: str
    """A stage of a run, or the name of a checkpoint that was trained by itself."""
    measured: Sequence[tuple[str, Mapping[str, Any]]] = ()
    """(stage, its metrics.json) of every stage so far, in the order in which they ran; this one last, once it is measured."""
    records: Sequence[HeldOut] = ()
    """What this stage's model replied to the held-out problems."""
    dataset: Mapping[str, Any] | None = None
    """Its dataset.json; None where it has none, as a base."""
    model: str = HERE
    """What a user writes to load it."""
    licence: str | None = None
    """That its owner gives it; None: that of the base, where it is known."""
    stated: str | None = None
    """The licence of the base as an earlier card found it; the base itself may be out of sight by now."""

    @property
    def metrics(self) -> Mapping[str, Any] | None:
        """Of the stage itself; None before it is measured."""
        return self.measured[-1][1] if self.measured and self.measured[-1][0] == self.stage else None


def about_stage(config: RunConfig, instructions: str | None, stage: StageDir, metrics: Mapping[str, Any] | None = None) -> About:
    """What is on disk of a stage and of those before it. `metrics` are its own, where they are not on disk yet."""
    run = RunDir(stage.path.parent)
    before = [other for other in run.stages() if stages.order(other.name) < stages.order(stage.name)]
    own = metrics or (stage.read_metrics() if stage.metrics.exists() else None)
    measured = [(other.name, other.read_metrics()) for other in before] + ([(stage.name, own)] if own else [])
    told = bool((own or {}).get("truthful"))
    records = [as_read(record, told) for record in read_held_out(stage.held_out)] if own and stage.held_out.exists() else []
    dataset = stage.read_dataset() if stage.dataset.exists() else None
    config = placed(config, run.contents)
    return About(config, instructions, stage.name, measured, records, dataset, stated=stated_in(stage.checkpoint))


def write_model_card(checkpoint: Path, about: About) -> None:
    """Put the card into a checkpoint of ours; a directory without one is left as it is."""
    if (checkpoint / "rise.json").exists():
        write_whole(checkpoint / NAME, model_card(about))


def model_card(about: About) -> str:
    """The whole text, with the front matter that model hubs read."""
    title = stages.title(about.stage) if stages.is_stage(about.stage) else about.stage
    parts = [
        _front_matter(about),
        f"# {inline(about.config.name)}, {inline(title)}",
        "A language model that was trained to correct its own answer turn after turn: Recursive Introspection "
        f"([RISE, arXiv 2407.18219]({PAPER})). This page was made from the run by rise {rise.__version__}.",
        _list(_what_it_is(about)),
        *_results(about),
        *_controls(about),
        *_transcript(about),
        "## Limits",
        _list(_limits(about)),
        "## Licence",
        base_licence(about.config.model, about.licence, about.stated).words,
        *_use(about),
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(about: About) -> str:
    """YAML that hubs read. Values are our own words, or quoted."""
    model = about.config.model
    hub_name = model.path if model.path and not model.path.startswith(PREFIX) and shortened(model.path) == model.path else None
    licence = base_licence(model, about.licence, about.stated).key
    lines = [
        *([f"license: {licence}"] if licence else []),
        *([f'base_model: "{hub_name}"'] if hub_name and "/" in hub_name else []),
        "library_name: transformers",
        "pipeline_tag: text-generation",
        "tags:",
        *(f"- {tag}" for tag in ("rise", "recursive-introspection", "self-correction")),
    ]
    return "\n".join(["---", *lines, "---"])


def base_words(config: RunConfig) -> str:
    """The base in a few words, no path of this machine among them."""
    model = config.model
    if model.nano:
        return f"none: a nano Llama made from nothing, {model.nano.layers} layers of width {model.nano.hidden}"
    if (model.path or "").startswith(PREFIX):
        return f"{str(model.path).removeprefix(PREFIX)}, a nano Llama that comes with rise"
    name = shortened(model.path or "")
    return f"{name}, {model.gguf_file}" if model.gguf_file else name


def _what_it_is(about: About) -> list[tuple[str, str]]:
    config = about.config
    task, train, relabel, rounds = config.task, config.train, config.relabel, config.iterate.rounds
    improver = IMPROVERS[relabel.improver].words.format(
        replies=f"the best of {relabel.n_samples} replies", teacher=shortened(relabel.teacher or "a teacher")
    )
    k = stages.round_number(about.stage)
    epochs = f"{train.epochs:g} epoch{'' if train.epochs == 1 else 's'}"
    adapters = f"adapters of rank {config.model.lora.rank}, merged" if config.model.lora else "all weights"
    lines = [
        ("Base", base_words(config)),
        ("Task", f"{task.name}{_of_file(config)}; its judge decides what is right"),
        (
            "Method",
            (f"{method_of(config)}; " if config.advantage or config.dataset.internalise != "off" or config.state.verify else "")
            + f"improved by {improver}; {rounds} round{'' if rounds == 1 else 's'}"
            + (f", this is number {k}" if k else ""),
        ),
        ("Weighing", _weighing(config)),
        ("Training", f"{epochs}, {train.batch_size} examples a step, peak {train.learning_rate:g}; {adapters}"),
        ("Sampling", f"temperature {config.sampling.temperature:g}, at most {config.sampling.max_new_tokens} tokens a reply"),
        (
            "Between turns",
            f"{shortened(config.state.feedback)}; it {feedback_words(config.state.feedback, config.state.feedback_text)}",
        ),
        ("Seed", f"{config.seed}"),
    ]
    if about.dataset:
        sources = "; ".join(f"{source} {count(n)}" for source, n in dict(about.dataset.get("by_source") or {}).items())
        lines.insert(2, ("Data", f"{count(about.dataset.get('n_examples'))} examples: {sources}"))
    return lines


def _of_file(config: RunConfig) -> str:
    """Which problems, where a file of its maker's holds them."""
    path = config.task.settings.get("path")
    return f", {shortened(path)}" if isinstance(path, str) and path else ""


def _weighing(config: RunConfig) -> str:
    advantage, weigh = config.advantage, config.weigh
    if advantage is not None:
        return f"advantages within a {advantage.group}, γ = {advantage.gamma:g}; train.loss.name = {config.train.loss.name}"
    temperature = f", temperature {weigh.temperature:g}" if weigh.rule == "exp" else ""
    return f"keep.rule = {config.keep.rule}, weigh.rule = {weigh.rule}{temperature}"


def _results(about: About) -> list[str]:
    """Accuracy with intervals, a row a stage."""
    if not about.measured:
        return ["## Results", "Not measured yet."]
    K, S = sizes(about.measured[-1][1])
    names = [name for name in named(HEADLINE, K, S) if name.key != f"p{S}@t1"]
    gain = next(name for name in named(PAIRED, K, S) if name.key == f"t{K}-t1")
    rows = []
    for stage, metrics in about.measured:
        shares = [_estimate(name.find(metrics)) for name in names]
        cells = [f"{percent(e.value)} ({percent_interval(e)})" if e.value is not None else DASH for e in shares]
        rows.append([stages.title(stage), *cells, _difference(_estimate(gain.find(metrics))), count(shares[0].n)])
    head = ["stage", *(name.label for name in names), gain.label, "n"]
    lines = ["| " + " | ".join(map(inline, row)) + " |" for row in (head, *rows)]
    lines.insert(1, "| --- |" + " ---: |" * (len(head) - 1))
    words = "; ".join(f"{name.label}: {name.words}" for name in names)
    split = about.config.evaluate.split
    caption = (
        f"Percent of held-out {split} problems that are right, 95 % intervals in brackets; differences in points. "
        f"{inline(words)}. "
        "What needs an oracle (p1) cannot be had in use."
    )
    return ["## Results", "\n".join(lines), caption]


def _controls(about: About) -> list[str]:
    """What the last reply is set against, question by question."""
    if about.metrics is None:
        return []
    found = [(name, _estimate(name.find(about.metrics))) for name in named(PAIRED, *sizes(about.metrics))]
    K, S = sizes(about.metrics)
    lines = [
        (name.of.question.format(K=K, S=S), _difference(e) if e.value is not None else "not measured")
        for name, e in found
        if e.value is not None or not name.of.optional
    ]
    return ["## Controls", _list(lines), "In points, on the same problems. An interval that holds zero shows nothing."]


def _transcript(about: About) -> list[str]:
    """A problem that was wrong at first and right at the end, chosen by a hash."""
    if not about.records:
        return []
    n_fixed, n_wrong, record = wrong_to_right(about.records)
    head = f"Of {count(n_wrong)} problems whose first reply was wrong, {count(n_fixed)} were right at the last turn."
    if record is None:
        return ["## A problem, turn by turn", f"{head} So there is none to show."]
    parts = ["## A problem, turn by turn", f"{head} One of them, taken by a hash and not by hand:", fenced(record.question)]
    for k, turn in enumerate(record.run, 1):
        parts += [f"Turn {k}, {turn.verdict or 'not judged'}:", fenced(turn.reply)]
        if turn.right:
            break
    return parts


def _limits(about: About) -> list[tuple[str, str]]:
    config, metrics = about.config, about.metrics
    lines = [
        ("One task", f"trained and measured on {config.task.name}{_of_file(config)} alone; of anything else nothing is known."),
        ("One training", "the intervals are over problems. How far another seed would come out is not in them."),
    ]
    if metrics:
        K, _ = sizes(metrics)
        gain = _estimate((metrics.get("paired") or {}).get(f"t{K}-t1"))
        n = _estimate(metrics.get("m1@t1")).n
        if gain.low is not None and gain.low <= 0:
            lines.append(("No gain shown", f"the last reply minus the first is {_difference(gain)}: this is not shown to help."))
        if n < FEW_PROBLEMS:
            lines.append(("Few problems", toy_words(n)))
    else:
        lines.append(("Not measured", "no number on this page says how good it is."))
    if feedback_mode(config.state.feedback).stops_when_right:
        lines.append(("Told the truth", "its feedback knows whether a reply is right, which nobody knows in use."))
    lines.append(("Its answers", "they may be wrong with every sign of certainty; a vote over turns does not change that."))
    return lines


def _use(about: About) -> list[str]:
    system = about.instructions
    first = [f'{{"role": "system", "content": {system!r}}}'] if system else []
    messages = ", ".join([*first, '{"role": "user", "content": "…"}'])
    tokens = about.config.sampling.max_new_tokens
    program = f"""from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer, model = AutoTokenizer.from_pretrained("{about.model}"), AutoModelForCausalLM.from_pretrained("{about.model}")
messages = [{messages}]
ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
print(tokenizer.decode(model.generate(**ids, do_sample=True, max_new_tokens={tokens})[0, ids["input_ids"].shape[1] :]))"""
    turns = (about.metrics or {}).get("chain") or {}
    n = turns.get("turns_to_serve") or about.config.evaluate.turns
    further = (
        "For a further turn put the reply and what stands between turns behind the messages and ask again; it is served with "
        f"{n} turns. rise.json holds the wording, and `rise serve` does all of it behind the chat completions API:"
    )
    download = [] if about.model == HERE else [f"hf download {about.model} --local-dir {HERE}"]
    judge = about.config.task.settings.get("judge")
    other = " --set judge=exact" if is_own_code(judge) else ""  # the code of its maker's judge does not come with the model
    served = [
        f"vllm serve {about.model}  # one turn at a time",
        *download,
        f"rise serve {HERE}{other}  # all turns, and the vote",
    ]
    return ["## How to use it", fenced(program, "python"), further, fenced("\n".join(served), "sh")]


def _estimate(plain: Any) -> Estimate:
    """An estimate of metrics.json; `NOTHING` where there is none."""
    if not isinstance(plain, Mapping) or plain.get("value") is None:
        return NOTHING
    return Estimate(plain["value"], plain.get("low"), plain.get("high"), int(plain.get("n") or 0))


def _difference(estimate: Estimate) -> str:
    return f"{points(estimate.value)} ({points_interval(estimate)})" if estimate.value is not None else DASH


def _list(lines: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f"- **{inline(head)}**{'' if head[-1] in '?)' else ':'} {inline(words)}" for head, words in lines)
