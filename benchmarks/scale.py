"""The arithmetic of docs/scale.md: Llama-3-8B on GSM8K and MATH on 1, 8 and 64 GPUs. Prints the tables; a test compares them.

    .venv/bin/python benchmarks/scale.py

Nothing is run. Every number is a product of the lines of `GIVEN`, each of which says where it comes from.
"""

# ruff: noqa: E501  (a table reads better unbroken)
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "scale.md"
BEGIN, END = "<!-- by benchmarks/scale.py -->", "<!-- end -->"
GPUS = (1, 8, 64)


@dataclass(frozen=True, slots=True)
class Given:
    """A number that is put in, and where it comes from."""

    value: float
    unit: str
    what: str
    mark: str
    """measured, data sheet, recipe or assumed."""
    changes: str
    """What would change it."""


GIVEN = {
    "problems": Given(20_000, "", "training problems, GSM8K and MATH together", "recipe", "`task.n_train`"),
    "held_out": Given(1_819, "", "held-out problems: 1,319 of GSM8K, 500 of MATH", "recipe", "`task.n_test`"),
    "samples": Given(16, "", "best of N", "recipe", "`relabel.n_samples`"),
    "epochs": Given(2, "", "epochs a round", "recipe", "`train.epochs`"),
    "question": Given(
        200,
        "tokens",
        "a first state: instructions, template, question",
        "assumed",
        "a worked example before it: `state.demonstration`",
    ),
    "reply": Given(250, "tokens", "mean reply", "assumed", "the model; it grows where training rewards length"),
    "feedback": Given(30, "tokens", "feedback and template between two attempts", "assumed", "`state.feedback_text`"),
    "wrong": Given(
        0.5,
        "",
        "share of problems wrong at turn 1, which alone get another turn and an improver",
        "assumed",
        "the model; `relabel.relabel_right`, `rollout.stop_when_right`",
    ),
    "parameters": Given(8.03e9, "", "parameters", "data sheet", "the model"),
    "cache": Given(
        131_072, "bytes", "keys and values of a token: 2 × 32 layers × 8 heads × 128 × 2 bytes", "data sheet", "the model"
    ),
    "bandwidth": Given(3.35e12, "bytes/s", "memory of an H100 SXM", "data sheet", "the GPU"),
    "flops": Given(989e12, "/s", "its dense bfloat16 operations", "data sheet", "the GPU"),
    "rows": Given(256, "", "replies under way in an engine: `engine.concurrency`", "recipe", "memory for keys and values"),
    "decode_share": Given(
        0.5,
        "",
        "of the bound by bandwidth that an engine reaches",
        "assumed",
        "`local:` reached .36 on one H200, vLLM is not measured: metrics.jsonl has reply tokens and seconds of every part",
    ),
    "prefill_share": Given(0.5, "", "of peak operations when prompts are read", "assumed", "as above"),
    "mfu": Given(
        0.4,
        "",
        "of peak operations in training",
        "measured",
        "on one H200 .42 (1.2 B, full), at least .36 (8 B, adapters): `mfu` in metrics.jsonl; FSDP over slow links halves it",
    ),
    "recompute": Given(
        4 / 3, "", "activation checkpointing repeats the forward pass", "recipe", "`train.arguments.gradient_checkpointing`"
    ),
    "start": Given(180, "s", "an engine's start: loading, compiling, the probe", "assumed", "local disks, a warm compile cache"),
    "train_start": Given(120, "s", "a training's start and its last save", "assumed", "the storage"),
    "orchestrator": Given(
        10_984,
        "turns/s",
        "the driver without Ray: judging and ledger, a processor second",
        "measured",
        "`benchmarks/orchestrator.py`, docs/performance.md",
    ),
    "ray_call": Given(
        1.4, "ms", "of the driver's processor that Ray adds to a reply", "measured", "`driver_ms` of `benchmarks/ray_scale.py`"
    ),
    "price": Given(3.0, "", "of a currency, a GPU and hour", "assumed", "your contract"),
}


def g(name: str) -> float:
    return GIVEN[name].value


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the run, in tokens."""

    stage: str
    part: str
    n_replies: float = 0.0
    n_read: float = 0.0
    """Prompt tokens read once: samples of one state and later turns share what they have in common."""
    n_trained_on: float = 0.0
    """Tokens of all rows, epochs counted."""

    @property
    def n_generated(self) -> float:
        return self.n_replies * g("reply")


def parts() -> list[Part]:
    """Two rounds; `state.window = 1`, turns stop where right, the improver at the last state of what is wrong.

    >>> [round(part.n_replies) for part in parts() if part.part == "relabel"]
    [160000, 160000]
    """
    again = g("reply") + g("feedback")
    asked = g("problems") * g("wrong")
    out = [_evaluate("base")]
    for k in (1, 2):
        # Round k: turn 1 on all; each further turn on those that are wrong; wrong stays wrong, an upper bound.
        out.append(
            Part(
                f"round {k}", "rollout", g("problems") + (k - 1) * asked, g("problems") * g("question") + (k - 1) * asked * again
            )
        )
        out.append(Part(f"round {k}", "relabel", asked * g("samples"), asked * (g("question") + again)))
        # A row: the question, the attempt that is shown, feedback and the better reply; right first replies are short rows.
        rows = asked * (g("question") + again + g("reply")) * k + g("problems") * (1 - g("wrong")) * (g("question") + g("reply"))
        out.append(Part(f"round {k}", "train", n_trained_on=rows * g("epochs")))
        out.append(_evaluate(f"round {k}", control=k == 2))
    return out


def _evaluate(stage: str, control: bool = False) -> Part:
    """Five turns that nothing stops, four further samples of turn 1, in the last round four more turns of the control."""
    n, again = g("held_out"), g("reply") + g("feedback")
    further = 4 + 4 * control
    return Part(stage, "evaluate", n * (1 + 4 + further), n * (g("question") + (4 + 4 * control) * again))


def step_s() -> float:
    """Seconds of one decoding step of a full engine: the weights and every row's keys and values are read once."""
    per_row = g("question") + g("reply") * 1.5 + g("feedback")
    return (2 * g("parameters") + g("rows") * per_row * g("cache")) / g("bandwidth") / g("decode_share")


def generated_per_s() -> float:
    """Tokens a second of one full engine."""
    return g("rows") / step_s()


def seconds(part: Part, n_gpus: int) -> float:
    """Of one part; what starts and what cannot be spread included. An engine with few rows is as slow a step as its weights."""
    if part.n_trained_on:
        work = 6 * g("parameters") * part.n_trained_on * g("recompute")
        return work / (n_gpus * g("flops") * g("mfu")) + g("train_start")
    rows = min(g("rows"), part.n_replies / n_gpus)
    step = step_s() * (0.5 + 0.5 * rows / g("rows"))
    decode = part.n_generated / n_gpus / rows * step
    read = 2 * g("parameters") * part.n_read / (n_gpus * g("flops") * g("prefill_share"))
    # The last problem of a part goes through its turns alone.
    tail = g("reply") * 2 * step_s() * (5 if part.part == "evaluate" else 1)
    return max(decode + read + tail, driver_s(part))


def driver_s(part: Part) -> float:
    """What the one process that judges and writes needs for it."""
    return part.n_replies / replies_per_s()


def replies_per_s() -> float:
    """That the driver's processor can take."""
    return 1 / (1 / g("orchestrator") + g("ray_call") / 1000)


def starts() -> int:
    """Engines are started for three sets of weights: base, round 1, round 2."""
    return 3


def hours(n_gpus: int) -> dict[str, float]:
    """By what they go into."""
    found = {"generate": 0.0, "train": 0.0, "start": starts() * g("start") / 3600}
    for part in parts():
        found["train" if part.n_trained_on else "generate"] += seconds(part, n_gpus) / 3600
    return found


def memory() -> list[tuple[str, float, str]]:
    """(what, GB a GPU, how)."""
    n, rows = g("parameters"), g("rows")
    cache = rows * (g("question") + 2 * (g("reply") + g("feedback"))) * g("cache")
    full = n * (2 + 2 + 4 + 4 + 4)
    return [
        ("engine, weights", 2 * n, "bfloat16, one replica a GPU"),
        ("engine, keys and values", cache, f"{rows:.0f} replies under way at two attempts each"),
        (
            "training, all weights, 1 GPU",
            full,
            "bfloat16 weights and gradients, float32 masters and two moments: does not fit 80 GB",
        ),
        ("training, LoRA, 1 GPU", 2 * n + 16 * 42e6, "bfloat16 base; adapters of rank 16 (42 million) and their optimiser"),
        ("training, all weights, 8 GPUs sharded", full / 8, "FSDP2 or ZeRO-3"),
        ("training, all weights, 64 GPUs sharded", full / 64, "as above"),
    ]


def tables() -> Iterator[str]:
    yield "### What is put in\n"
    yield "| what | value | where it comes from | what changes it |\n| --- | ---: | --- | --- |"
    for given in GIVEN.values():
        yield f"| {given.what} | {_number(given.value)}{' ' + given.unit if given.unit else ''} | {given.mark} | {given.changes} |"
    yield "\n### Tokens\n"
    yield "| stage | part | replies | generated | read | trained on |\n| --- | --- | ---: | ---: | ---: | ---: |"
    for part in parts():
        cells = [part.n_replies, part.n_generated, part.n_read, part.n_trained_on]
        yield f"| {part.stage} | {part.part} | " + " | ".join(_millions(cell) for cell in cells) + " |"
    everything = parts()
    totals = [sum(getattr(part, name) for part in everything) for name in ("n_replies", "n_generated", "n_read", "n_trained_on")]
    yield "| all | | " + " | ".join(map(_millions, totals)) + " |"
    yield "\n### Time and cost\n"
    yield "| | " + " | ".join(f"{n} GPU{'s' if n > 1 else ''}" for n in GPUS) + " |\n| --- |" + " ---: |" * len(GPUS)
    spent = [hours(n) for n in GPUS]
    for name, told in (("generate", "generation"), ("train", "training"), ("start", "engines starting, 3 times")):
        yield f"| {told} | " + " | ".join(_hours(found[name]) for found in spent) + " |"
    yield "| all | " + " | ".join(f"**{_hours(sum(found.values()))}**" for found in spent) + " |"
    yield "| bottleneck | " + " | ".join(_bottleneck(n) for n in GPUS) + " |"
    engines = [n * generated_per_s() / g("reply") for n in GPUS]
    yield "| replies a second that the engines would give | " + " | ".join(f"{n:,.0f}" for n in engines) + " |"
    yield "| replies a second that the driver can take | " + " | ".join(f"{replies_per_s():,.0f}" for _ in GPUS) + " |"
    yield "| speed-up ÷ GPUs | " + " | ".join(_efficiency(n) for n in GPUS) + " |"
    yield (
        "| cost | "
        + " | ".join(f"{sum(found.values()) * n * g('price'):,.0f}" for n, found in zip(GPUS, spent, strict=True))
        + " |"
    )
    yield "\n### Memory\n"
    yield "| what | GB a GPU | how |\n| --- | ---: | --- |"
    for what, n_bytes, how in memory():
        yield f"| {what} | {n_bytes / 1e9:.1f} | {how} |"


def _bottleneck(n_gpus: int) -> str:
    found = hours(n_gpus)
    name = max(found, key=lambda key: found[key])
    bound = sum(seconds(part, n_gpus) for part in parts() if not part.n_trained_on and seconds(part, n_gpus) == driver_s(part))
    if name == "generate" and bound / 3600 > found["generate"] / 2:
        return "the driver's one processor"
    return {"generate": "generation", "train": "training", "start": "starts"}[name]


def _efficiency(n_gpus: int) -> str:
    one, many = sum(hours(1).values()), sum(hours(n_gpus).values())
    return f"{one / many / n_gpus:.0%}"


def _number(value: float) -> str:
    if value >= 1e9:
        mantissa, _, exponent = f"{value:.3g}".partition("e+")
        return f"{mantissa} · 10^{int(exponent)}" if exponent else mantissa
    return f"{value:,.0f}" if value == int(value) else f"{value:.3g}"


def _millions(value: float) -> str:
    if not value:
        return ""
    return f"{value / 1e6:,.1f} M" if value >= 1e6 else f"{value:,.0f}"


def _hours(value: float) -> str:
    return f"{value:.1f} h" if value >= 1 else f"{value * 60:.0f} min"


def page(text: str) -> str:
    """docs/scale.md with its tables made anew."""
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    return head + BEGIN + "\n" + "\n".join(tables()) + "\n" + END + tail


if __name__ == "__main__":
    print("\n".join(tables()))
    if PAGE.exists():
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
