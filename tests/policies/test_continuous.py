"""Continuous batching: the replies are those that `generate` gives, whoever comes and goes while the batch runs."""

import asyncio
import weakref
from dataclasses import replace

import pytest
from toys import problem

from rise.errors import PolicyError
from rise.method.rollout import rollout
from rise.play.keys import stream_seed
from rise.play.ledger import Ledger
from rise.play.player import Player, play_out
from rise.play.prompt import Prompt
from rise.policies import make_policy
from rise.policies.local import LocalPolicy
from rise.policy import Request, Sampling
from rise.trajectory import Message

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model(steep):
    return steep


def continuous(model, limit):
    return LocalPolicy(model.model, model.renderer, name="c", batch_size=limit, fixed_batches=False)


def request(model, text, n, **sampling):
    messages = (Message("user", text),)
    seeds = tuple(stream_seed(text, i) for i in range(n))
    return Request(messages, Sampling(**{"max_new_tokens": 12, **sampling}), seeds, model.renderer.prompt_ids(messages))


def ask(policy, requests):
    async def go():
        return await asyncio.gather(*map(policy.reply, requests))

    return asyncio.run(go())


def ids(replies):
    return [[(reply.ids, reply.finish, reply.text) for reply in some] for some in replies]


TEXTS = ("1", "2+2", "12345+6789", "3*3", "1" * 60, "77", "2*(3+4)", "8-9")


@pytest.mark.parametrize("limit", [1, 3, 64])
def test_replies_are_those_of_generate(model, limit):
    requests = [request(model, text, 3) for text in TEXTS]
    expected = ids(model.generate(requests))
    assert ids(ask(continuous(model, limit), requests)) == expected
    assert len({len(reply[0]) for replies in expected for reply in replies}) > 3  # they do end at different lengths


def test_settings_of_sampling_may_differ_within_the_batch(model):
    requests = [
        request(model, text, 2, temperature=t, top_p=p, max_new_tokens=m)
        for text, t, p, m in [("1", 0, 1.0, 5), ("2+2", 0.7, 0.8, 9), ("3*3", 1.0, 1.0, 12)]
    ]
    assert ids(ask(continuous(model, 4), requests)) == ids(model.generate(requests))


def test_a_prompt_that_samples_share_is_read_once(model):
    policy, asked = continuous(model, 64), request(model, "12345+6789", 5)
    ask(policy, [asked, request(model, "1", 1)])
    assert policy.running.n_prompt_tokens_shared == 4 * len(asked.prompt_ids)


def continued(model, asked, reply, text):
    """The state after a reply and one more message, as token ids that begin with those of the state before it."""
    more = model.renderer.prompt_ids((Message("user", text),))
    return replace(asked, prompt_ids=(*asked.prompt_ids, *reply.ids, *more), seeds=(stream_seed(text, 9),))


def test_of_a_later_turn_only_what_is_new_is_read(model):
    """Turns of unlike length beside problems that are new: the same replies, whatever was kept and read together."""
    policy = continuous(model, 64)
    first = [replace(request(model, text, 1), problem=f"p{i}") for i, text in enumerate(TEXTS)]
    replies = ask(policy, first)
    second = [continued(model, a, r[0], "?" * (1 + 5 * i)) for i, (a, r) in enumerate(zip(first, replies, strict=True))]
    assert policy.running.n_prompt_tokens_kept == 0 and len(policy.running.kept) == len(TEXTS)
    assert ids(ask(policy, [*second, request(model, "9", 2)])) == ids(model.generate([*second, request(model, "9", 2)]))
    assert policy.running.n_prompt_tokens_kept > sum(len(a.prompt_ids) for a in first)
    facts = policy.facts()["batch"]
    assert facts["prompt_tokens_kept"] == policy.running.n_prompt_tokens_kept


def test_what_is_kept_ends_where_the_prompts_part(model):
    """The last token of a reply has no keys and values yet; a state that goes on otherwise shares what stands before."""
    policy = continuous(model, 4)
    asked = replace(request(model, "12345+6789", 1), problem="p")
    [[reply]] = ask(policy, [asked])
    ask(policy, [continued(model, asked, reply, "?")])
    known = len(asked.prompt_ids) + len(reply.ids) - 1
    assert policy.running.n_prompt_tokens_kept == known
    other = replace(asked, prompt_ids=(*asked.prompt_ids[:7], *model.renderer.prompt_ids((Message("user", "1"),))))
    n = next(i for i, (a, b) in enumerate(zip(other.prompt_ids, asked.prompt_ids, strict=False)) if a != b)
    ask(policy, [other])
    assert n >= 7 and policy.running.n_prompt_tokens_kept == known + n


def test_conversations_beyond_the_memory_for_them_are_read_again(model):
    policy = continuous(model, 64)
    first = [replace(request(model, text, 1), problem=text) for text in TEXTS[:3]]
    [whole] = ask(policy, first[:1])
    one = policy.running.kept.n_bytes
    assert one > 0
    policy.running.kept.limit = one
    policy.running.kept.forget(TEXTS[0])
    ask(policy, first)
    assert policy.running.kept.n_bytes <= one and len(policy.running.kept) <= 1
    small = continuous(model, 1)  # and no more problems than twice the rows
    ask(small, first)
    assert len(small.running.kept) == 2
    policy.running.kept.give_up()
    second = continued(model, first[0], whole[0], "?")
    assert ids(ask(policy, [second])) == ids(model.generate([second])) and len(policy.running.kept) == 0


def test_whoever_ends_makes_room_at_once(model):
    """30 replies of 1 to 12 tokens, 5 at a time: fewer steps than in batches that wait for their longest."""
    requests = [request(model, f"{i}+{i}", 1) for i in range(30)]
    lengths = [len(replies[0].ids) - 1 for replies in model.generate(requests)]  # the first comes with the prompt
    policy = continuous(model, 5)
    ask(policy, requests)
    batch = policy.running
    assert batch.n_row_steps == sum(lengths)
    assert batch.n_steps < sum(max(lengths[i : i + 5]) for i in range(0, 30, 5))
    assert not batch.busy and policy._futures == {}


def limited(model, n_rows):
    """A model that runs out of memory with more rows than that."""
    import torch

    class Small:
        config, device, generation_config = model.model.config, model.model.device, model.model.generation_config
        n_refused = 0

        def __call__(self, input_ids, **kwargs):
            if input_ids.shape[0] > n_rows:
                self.n_refused += 1
                raise torch.OutOfMemoryError("CUDA out of memory")
            return model.model(input_ids=input_ids, **kwargs)

        def to(self, device):
            return self

        def eval(self):
            return self

    return Small()


@pytest.mark.parametrize("n_rows", [3, 7])
def test_out_of_memory_halves_the_batch_and_loses_no_token(model, n_rows):
    requests = [request(model, text, 2) for text in TEXTS]
    small = limited(model, n_rows)
    policy = LocalPolicy(small, model.renderer, name="c", batch_size=16, fixed_batches=False)
    assert ids(ask(policy, requests)) == ids(model.generate(requests))
    batch = policy.running
    assert batch.n_halved >= 1 and batch.limit <= n_rows < 2 * batch.limit + 2
    assert policy.facts()["batch"]["halved"] == batch.n_halved == small.n_refused


def test_out_of_memory_with_a_single_reply_says_so_to_everyone(model):
    policy = LocalPolicy(limited(model, 0), model.renderer, name="c", batch_size=4, fixed_batches=False)

    async def go():
        return await asyncio.gather(*(policy.reply(request(model, text, 1)) for text in TEXTS), return_exceptions=True)

    errors = asyncio.run(go())
    assert len(errors) == len(TEXTS)
    assert all(isinstance(error, PolicyError) and "with a single reply under way" in str(error) for error in errors)


def test_a_model_with_fixed_batches_halves_them_too_unless_they_must_stay(model):
    import torch

    class Small(LocalPolicy):
        def _generate(self, rows, sampling, room):
            if len(rows) > 3:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super()._generate(rows, sampling, room)

    requests = [request(model, text, 2) for text in TEXTS]
    small = Small(model.model, model.renderer, name="s", batch_size=16, fixed_batches=False)
    assert ids(small.generate(requests)) == ids(model.generate(requests)) and small.batch_size <= 3
    with pytest.raises(PolicyError, match="ran out of memory"):
        Small(model.model, model.renderer, name="s", batch_size=16).generate(requests)


def test_half_a_batch_starts_with_what_the_whole_one_held_given_back(model):
    """A batch of four holds something, as it holds a cache, when memory runs out: that is gone before two are tried, and two."""
    import torch

    held, alive = [], []

    class Cache:
        pass

    class Small(LocalPolicy):
        def _generate(self, rows, sampling, room):
            alive.append((len(rows), sum(ref() is not None for ref in held)))
            cache = Cache()
            held.append(weakref.ref(cache))
            if len(rows) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super()._generate(rows, sampling, room)

    small = Small(model.model, model.renderer, name="s", batch_size=4, fixed_batches=False)
    asked = [request(model, "2+2", 4)]
    assert ids(small.generate(asked)) == ids(model.generate(asked))
    assert alive == [(4, 0), (2, 0), (2, 0)] and small.batch_size == 2


def test_nothing_is_sampled_for_whoever_is_gone(model):
    policy = continuous(model, 8)

    async def go():
        kept = asyncio.create_task(policy.reply(request(model, "2+2", 1, max_new_tokens=100)))
        gone = asyncio.create_task(policy.reply(request(model, "1", 1, max_new_tokens=100)))
        await asyncio.sleep(0)
        gone.cancel()
        return await kept

    [reply] = asyncio.run(go())
    assert policy.running.n_row_steps == len(reply.ids) - 1


def test_a_rollout_is_the_same_either_way(model, judge, tmp_path):
    def play(policy, name):
        with Ledger(tmp_path / name) as ledger:
            prompt = Prompt(feedback_text="?", feedback="neutral")
            at_work = Player(policy, prompt, judge, Sampling(max_new_tokens=8), ledger, "x", renderer=model.renderer)
            problems = [problem(f"p{i}", f"{i}+1") for i in range(20)]
            return play_out(at_work, rollout(at_work, problems, n_turns=3, stop_when_right=False))

    fixed = LocalPolicy(model.model, model.renderer, name="c", batch_size=6)
    assert play(continuous(model, 6), "a") == play(fixed, "b")


def test_models_with_other_caches_keep_fixed_batches(model):
    from rise.policies.continuous import ContinuousBatch

    assert ContinuousBatch.can(model.model)

    class Sliding:
        config = model.model.config.__class__(**{**model.model.config.to_dict(), "sliding_window": 16})

    Sliding.config.layer_types = ["sliding_attention"] * Sliding.config.num_hidden_layers
    assert not ContinuousBatch.can(Sliding)


def test_deterministic_runs_have_fixed_batches(nano_dir):
    assert make_policy(str(nano_dir), deterministic=True).running is None
    assert make_policy(str(nano_dir)).running is not None


def test_a_request_without_room_is_refused(model):
    with pytest.raises(PolicyError, match="takes token ids"):
        ask(continuous(model, 2), [replace(request(model, "1", 1), prompt_ids=None)])
