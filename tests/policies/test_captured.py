"""Decoding over slots: the replies that `generate` gives, whoever comes and goes; on a GPU each step is one captured graph."""

import asyncio
import contextlib
import math
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from test_continuous import TEXTS, ask, continued, ids, limited, request

from rise.policies import make_policy
from rise.policies.captured import CapturedBatch, _Slots
from rise.policies.local import LocalPolicy
from rise.policies.slots import SDPA, attend, best_way
from rise.recipe.machines import EngineConfig

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model(steep):
    return steep


def captured(model, limit):
    policy = LocalPolicy(model.model, model.renderer, name="c", batch_size=limit, fixed_batches=False, captured=True)
    assert isinstance(policy.running, CapturedBatch)
    return policy


@pytest.mark.parametrize("limit", [1, 3, 64])
def test_replies_are_those_of_generate(model, limit):
    requests = [request(model, text, 3) for text in TEXTS]
    expected = ids(model.generate(requests))
    assert ids(ask(captured(model, limit), requests)) == expected
    assert len({len(reply[0]) for replies in expected for reply in replies}) > 3


def test_settings_of_sampling_may_differ_within_the_batch(model):
    requests = [
        request(model, text, 2, temperature=t, top_p=p, max_new_tokens=m)
        for text, t, p, m in [("1", 0, 1.0, 5), ("2+2", 0.7, 0.8, 9), ("3*3", 1.0, 1.0, 12)]
    ]
    assert ids(ask(captured(model, 4), requests)) == ids(model.generate(requests))


def test_whoever_ends_makes_room_and_slots_close_up(model):
    """30 replies of 1 to 12 tokens in 5 slots: each token once, also of rows that moved into another slot."""
    requests = [request(model, f"{i}+{i}", 1) for i in range(30)]
    expected = model.generate(requests)
    policy = captured(model, 5)
    assert ids(ask(policy, requests)) == ids(expected)
    assert policy.running.n_row_steps == sum(len(replies[0].ids) - 1 for replies in expected)  # the first comes with the prompt
    assert not policy.running.busy and policy._futures == {}


def test_longer_rows_get_longer_slots_while_others_are_under_way(model):
    policy = captured(model, 8)
    short = [request(model, text, 1, max_new_tokens=50) for text in TEXTS]
    assert ids(ask(policy, short)) == ids(model.generate(short))
    before = policy.running._slots.length
    long = [*short, request(model, "1" * 120, 2, max_new_tokens=20)]
    assert ids(ask(policy, long)) == ids(model.generate(long))
    assert policy.running._slots.length > before == 128


def test_later_turns_are_read_whole_and_are_the_same(model):
    policy = captured(model, 64)
    first = [replace(request(model, text, 1), problem=f"p{i}") for i, text in enumerate(TEXTS)]
    replies = ask(policy, first)
    second = [continued(model, a, r[0], "?" * (1 + 5 * i)) for i, (a, r) in enumerate(zip(first, replies, strict=True))]
    assert ids(ask(policy, second)) == ids(model.generate(second))
    assert policy.running.n_prompt_tokens_kept == 0


def test_tokens_fall_as_often_as_the_model_says(model):
    """4,000 first-and-second tokens of one prompt against the model's probabilities: chi-square, at most 1 in 10,000."""
    n = 4000
    asked = request(model, "2+2", n, max_new_tokens=2)
    [replies] = ask(captured(model, 256), [asked])
    first = Counter(reply.ids[0] for reply in replies)
    start = next(token for token, _ in first.most_common() if token not in model.eos_ids)
    second = Counter(reply.ids[1] for reply in replies if reply.ids[0] == start)
    with torch.no_grad():
        scores = model.model(torch.tensor([[*asked.prompt_ids, start]])).logits[0]
    for counts, row in ((first, scores[-2]), (second, scores[-1])):
        total = sum(counts.values())
        expected = torch.softmax(row.double(), -1) * total
        large = [i for i in range(len(expected)) if expected[i] >= 5]
        rest = total - float(expected[large].sum())
        cells = [(counts[i], float(expected[i])) for i in large]
        cells += [(total - sum(counts[i] for i in large), rest)] if rest >= 5 else []
        assert len(cells) > 3
        chi = sum((seen - e) ** 2 / e for seen, e in cells)
        df = len(cells) - 1
        # Wilson and Hilferty (1931): chi-square's cube root is nearly normal; 3.72 is its 1 − 10⁻⁴ quantile.
        assert (chi / df) ** (1 / 3) < 1 - 2 / (9 * df) + 3.72 * math.sqrt(2 / (9 * df))


@pytest.mark.parametrize("n_rows", [3, 7])
def test_out_of_memory_halves_the_batch_and_loses_no_token(model, n_rows):
    """A step of more rows than `n_rows` does not fit; what was under way is read again, not sampled again."""
    requests = [request(model, text, 2) for text in TEXTS]
    policy = captured(model, 16)
    small = limited(model, n_rows)
    policy.running.model = small
    small.dtype = model.model.dtype
    assert ids(ask(policy, requests)) == ids(model.generate(requests))
    assert policy.running.n_halved >= 1 and policy.running.limit <= n_rows


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_no_row_is_lost_where_memory_runs_out_while_prompts_are_laid_into_slots(nth, model, monkeypatch):
    """Prompts of 1, 30 and 60 digits are read as three groups. Whichever the slots have no memory for, all six rows are read
    again, three at once, and each reply is whole."""
    requests = [request(model, "1" * n, 2) for n in (1, 30, 60)]
    expected = ids(model.generate(requests))
    policy, lay, calls = captured(model, 8), _Slots.lay, []

    def short_of_memory(*given):
        calls.append(given)
        if len(calls) == nth:
            raise torch.OutOfMemoryError("CUDA out of memory")
        lay(*given)

    monkeypatch.setattr(_Slots, "lay", short_of_memory)
    assert ids(ask_within(20, policy, requests)) == expected
    assert (policy.running.n_halved, policy.running.limit) == (1, 3)
    assert not policy.running.busy and policy._futures == {}


def ask_within(seconds, policy, requests):
    async def go():
        return await asyncio.wait_for(asyncio.gather(*map(policy.reply, requests)), seconds)

    return asyncio.run(go())


def test_a_slot_by_hand():
    """Two slots of three places; queries 0 look at what counts in equal parts: 1 and (1 + 3 + 8) ÷ 3. Two heads share a value."""
    query, values = torch.zeros(2, 2, 1, 1), torch.tensor([[1.0, 7, 9], [1, 3, 8]]).view(2, 1, 3, 1)
    mask = torch.tensor([[True, False, False], [True, True, True]]).view(2, 1, 1, 3)
    out, _ = attend(None, query, torch.zeros(2, 1, 3, 1), values, mask, 1.0, slots=True)
    assert out.shape == (2, 1, 2, 1) and out.flatten().tolist() == pytest.approx([1, 1, 4, 4])


def test_a_model_whose_step_is_another_keeps_the_plain_way(model, monkeypatch):
    """An attention that forgets which tokens count: found by the trial before the first reply."""
    from rise.policies import slots

    real = slots.functional.scaled_dot_product_attention
    monkeypatch.setattr(
        slots.functional, "scaled_dot_product_attention", lambda q, k, v, attn_mask=None, **kw: real(q, k, v, **kw)
    )
    assert not CapturedBatch.can(LocalPolicy.load(model.renderer.tokenizer.name_or_path).model)


class Triton(Exception):
    """What Triton raises is of kinds of its own."""


def raises(*given, **named):
    raise Triton("out of resource: shared memory")


def test_a_kernel_that_raises_what_torch_does_not_know_leaves_the_plain_way(model, monkeypatch):
    from rise.policies import captured, slots

    net = LocalPolicy.load(model.renderer.tokenizer.name_or_path).model
    own = net.config._attn_implementation
    monkeypatch.setattr(captured, "best_way", lambda *given: slots.TRITON)
    monkeypatch.setattr(slots, "kernels", SimpleNamespace(attend=raises))
    assert not CapturedBatch.can(net) and net.config._attn_implementation == own == "sdpa"


@pytest.mark.parametrize(("forgets", "taken"), [((), True), (("keys",), False), (("values",), False)], ids=str)
def test_a_kernel_of_attention_is_taken_where_it_writes_the_new_key_and_the_new_value(forgets, taken, monkeypatch):
    """What it gives is right each time, so that only the slots show what was not written."""
    from rise.policies import slots

    def attention(query, new_key, new_value, keys, values, used, scaling):
        rooms, rows = {"keys": keys.clone(), "values": values.clone()}, torch.arange(len(used))
        for name, room, new in (("keys", keys, new_key), ("values", values, new_value)):
            rooms[name][rows, used.long() - 1] = new[:, :, 0]
            if name not in forgets:
                room.copy_(rooms[name])
        mask = (torch.arange(keys.shape[1])[None] < used[:, None])[:, None, None]
        return attend(None, query, *(room.transpose(1, 2) for room in rooms.values()), mask, scaling, slots=True)[0]

    monkeypatch.setattr(slots, "kernels", SimpleNamespace(FEWEST=16, attend=attention))
    assert slots._agrees(slots.TRITON, torch.device("cpu"), torch.float32, 16) is taken


class Card:
    """CUDA's graphs on a processor: a step on the stream of a capture is not made but noted, and made at each replay."""

    def __init__(self, monkeypatch, fails=False):
        self.stream, self.capturing, self.fails = "main", None, fails
        self.pools, self.n_replayed = [], 0
        step = CapturedBatch._step_of

        def step_of(batch, n, kinds):
            if self.capturing:
                self.capturing.steps.append((batch, n, kinds))
            else:
                step(batch, n, kinds)

        card = self

        class Graph:
            def __init__(self):
                self.steps = []

            def replay(self):
                card.n_replayed += 1
                for given in self.steps:
                    step(*given)

            def pool(self):
                return self.place

        class Capture:
            def __init__(self, graph, pool=None, capture_error_mode=""):
                self.graph, self.graph.place = graph, pool or object()
                card.pools.append(self.graph.place)

            def __enter__(self):
                self.before, card.stream, card.capturing = card.stream, "capture", self.graph

            def __exit__(self, *error):
                card.capturing = None
                if card.fails:
                    raise RuntimeError("operation not permitted when stream is capturing")  # as torch's: the stream stays
                card.stream = self.before

        @contextlib.contextmanager
        def stream(other):
            before, card.stream = card.stream, other
            try:
                yield
            finally:
                card.stream = before

        monkeypatch.setattr(CapturedBatch, "_step_of", step_of)
        cuda = {"CUDAGraph": Graph, "graph": Capture, "stream": stream, "current_stream": lambda: card.stream}
        for name, thing in (cuda | {"synchronize": lambda: None}).items():
            monkeypatch.setattr(torch.cuda, name, thing)


def on(card, model, limit):
    policy = captured(model, limit)
    policy.running.captures = True
    return policy


def test_replies_of_replayed_graphs_are_those_of_generate_and_graphs_share_a_pool(model, monkeypatch):
    """At two temperatures, a graph each. One step a graph is made as it is, the others are replays."""
    card = Card(monkeypatch)
    policy = on(card, model, 16)
    for temperature in (1.0, 0.5):
        requests = [request(model, text, 2, temperature=temperature) for text in TEXTS]
        assert ids(ask(policy, requests)) == ids(model.generate(requests))
    batch = policy.running
    assert batch.quick and card.n_replayed == batch.n_steps - batch.n_captured > 0
    assert batch.n_captured == len(card.pools) == 2 and card.pools[0] is card.pools[1]


def test_a_capture_that_fails_leaves_the_thread_on_its_own_stream(model, monkeypatch):
    card = Card(monkeypatch, fails=True)
    policy, requests = on(card, model, 16), [request(model, text, 2) for text in TEXTS]
    assert ids(ask(policy, requests)) == ids(model.generate(requests))
    assert (card.stream, policy.running.captures, policy.running.n_captured) == ("main", False, 0)


@pytest.mark.parametrize("wrong", [raises, lambda x: x * 1.5], ids=["raises", "differs"])
def test_a_step_in_fewer_kernels_that_is_another_is_captured_as_it_was(wrong, model, monkeypatch):
    """Whatever its parts gave when they were tried: the whole step is what is tried before the first capture."""
    from rise.policies import captured

    @contextlib.contextmanager
    def fewer(net):
        net.lm_head.forward = wrong if wrong is raises else lambda x: torch.nn.functional.linear(wrong(x), net.lm_head.weight)
        try:
            yield
        finally:
            del net.lm_head.forward

    monkeypatch.setattr(captured, "fewer_kernels", fewer)
    policy, requests = on(Card(monkeypatch), model, 16), [request(model, text, 2) for text in TEXTS]
    assert ids(ask(policy, requests)) == ids(model.generate(requests))
    assert policy.running.quick is False and policy.running.n_captured == 1


def test_a_recipe_asks_for_it_and_fixed_batches_come_first(nano_dir):
    settings = EngineConfig(captured=True)
    assert isinstance(make_policy(str(nano_dir), engine=settings).running, CapturedBatch)
    assert make_policy(str(nano_dir), engine=settings, deterministic=True).running is None
    assert not isinstance(make_policy(str(nano_dir)).running, CapturedBatch)
    assert best_way(None, torch.bfloat16, 64) == SDPA


def test_scores_are_those_of_a_plain_pass(model):
    """Log-probabilities after replies were drawn: the model's attention is SDPA still, where no slots are given."""
    policy = captured(model, 8)
    [[reply]] = ask(policy, [request(model, "2+2", 1)])
    prompt = request(model, "2+2", 1).prompt_ids
    [own] = asyncio.run(policy.score([prompt], [reply.ids]))
    with torch.no_grad():
        table = torch.log_softmax(model.model(torch.tensor([[*prompt, *reply.ids]])).logits[0], -1)
    assert own == pytest.approx([table[len(prompt) - 1 + i, t].item() for i, t in enumerate(reply.ids)], abs=1e-5)
