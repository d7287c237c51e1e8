"""Sampling from a local model: one random stream per reply, whatever the batch; limits, stops, and the right frequencies."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest
from toys import ALPHABET, TINY, problem

from rise.errors import ModelError, PolicyError
from rise.method.rollout import rollout
from rise.play.keys import stream_seed
from rise.play.ledger import Ledger
from rise.play.player import Player
from rise.play.prompt import Prompt
from rise.policies import make_policy
from rise.policies.local import LocalPolicy
from rise.policy import Request, Sampling
from rise.trajectory import Message

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def policy(steep):
    return steep


def request(policy, text="2+2", seeds=(0,), **sampling):
    messages = (Message("user", text),)
    return Request(messages, Sampling(**{"max_new_tokens": 6, **sampling}), tuple(seeds), policy.renderer.prompt_ids(messages))


def seeds(n, name="s"):
    return [stream_seed(name, i) for i in range(n)]


def first_token_probabilities(policy, prompt_ids, temperature=1.0):
    import torch

    with torch.no_grad():
        logits = policy.model(input_ids=torch.tensor([prompt_ids])).logits[0, -1].double()
    return torch.softmax(logits / temperature, -1)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_frequencies_are_the_softmax(policy, temperature):
    asked = request(policy, seeds=seeds(4000), max_new_tokens=1, temperature=temperature)
    [replies] = policy.generate([asked])
    counts = Counter(reply.ids[0] for reply in replies)
    expected = first_token_probabilities(policy, asked.prompt_ids, temperature) * 4000
    kept = [(counts[token], e) for token, e in enumerate(expected.tolist()) if e >= 5]
    chi_squared = sum((o - e) ** 2 / e for o, e in kept)
    assert len(kept) > 5
    assert chi_squared < len(kept) + 5 * (2 * len(kept)) ** 0.5  # mean and five standard deviations


def test_top_p_leaves_the_smallest_set_that_reaches_p_and_keeps_its_proportions(policy):
    asked = request(policy, seeds=seeds(3000), max_new_tokens=1, top_p=0.5)
    [replies] = policy.generate([asked])
    counts = Counter(reply.ids[0] for reply in replies)
    probabilities = first_token_probabilities(policy, asked.prompt_ids)
    order = probabilities.argsort(descending=True).tolist()
    n = next(n for n in range(1, len(order)) if probabilities[order[:n]].sum() >= 0.5)
    assert set(counts) == set(order[:n])
    mass = probabilities[order[:n]].sum()
    for token in order[:n]:
        share = (probabilities[token] / mass).item()
        assert counts[token] / 3000 == pytest.approx(share, abs=5 * (share * (1 - share) / 3000) ** 0.5)


def test_greedy_takes_the_likeliest_token_and_needs_no_luck(policy):
    asked = request(policy, seeds=seeds(3), temperature=0)
    [replies] = policy.generate([asked])
    assert len({reply.ids for reply in replies}) == 1
    assert replies[0].ids[0] == first_token_probabilities(policy, asked.prompt_ids).argmax()


def test_the_same_seed_draws_the_same_reply_and_another_seed_another(policy):
    [once] = policy.generate([request(policy, seeds=seeds(8))])
    [again] = policy.generate([request(policy, seeds=seeds(8))])
    [other] = policy.generate([request(policy, seeds=seeds(8, "other"))])
    assert once == again
    assert len({reply.ids for reply in once}) >= 7
    assert [reply.ids for reply in once] != [reply.ids for reply in other]


def test_a_reply_does_not_depend_on_the_order_or_grouping_of_requests(policy):
    requests = [request(policy, text, seeds(2, text)) for text in ("1", "2+2", "12345+6789", "3*3", "7")]
    together = policy.generate(requests)
    backwards = policy.generate(requests[::-1])[::-1]
    alone = [policy.generate([r])[0] for r in requests]
    assert together == backwards  # the batch is sorted before it is run, so these are the same to the bit
    assert [[reply.ids for reply in replies] for replies in alone] == [[reply.ids for reply in replies] for replies in together]


def test_best_of_n_is_n_replies_in_the_order_of_their_seeds(policy):
    several = seeds(5)
    [all_five] = policy.generate([request(policy, seeds=several)])
    [two] = policy.generate([request(policy, seeds=[several[3], several[1]])])
    assert [r.ids for r in two] == [all_five[3].ids, all_five[1].ids]


def test_a_reply_ends_at_the_end_of_turn_or_at_the_limit(policy):
    [replies] = policy.generate([request(policy, seeds=seeds(300), max_new_tokens=8)])
    end = policy.renderer.tokenizer.eos_token_id
    assert {reply.finish for reply in replies} == {"stop", "length"}
    for reply in replies:
        assert (reply.finish == "stop") == (reply.ids[-1] == end)
        assert end not in reply.ids[:-1]
        assert reply.n_reply_tokens == len(reply.ids) <= 8
        assert reply.finish == "stop" or len(reply.ids) == 8
        assert "<|end|>" not in reply.text and reply.n_prompt_tokens == 5


def test_stop_tokens_of_the_generation_config_end_a_reply_too(policy, nano_dir):
    other = LocalPolicy.load(nano_dir)
    other.model.generation_config.eos_token_id = [2, 9]
    listed = LocalPolicy(other.model, other.renderer, name="x")
    assert listed.eos_ids == sorted(listed.renderer.eos_ids) == [2, 9]  # one set for sampling and for rendering
    [replies] = listed.generate([request(listed, seeds=seeds(200), max_new_tokens=8)])
    assert {reply.ids[-1] for reply in replies if reply.finish == "stop"} == {2, 9}


def test_different_sampling_in_one_call(policy):
    greedy, wild = request(policy, temperature=0), request(policy, seeds=seeds(3), max_new_tokens=3)
    replies = policy.generate([greedy, wild])
    assert replies == [policy.generate([greedy])[0], policy.generate([wild])[0]]


def test_more_replies_than_a_batch_holds(policy):
    small = LocalPolicy(policy.model, policy.renderer, name="small", batch_size=3)
    [replies] = small.generate([request(policy, seeds=seeds(10))])
    assert [r.ids for r in replies] == [r.ids for r in policy.generate([request(policy, seeds=seeds(10))])[0]]


def test_a_state_that_fills_the_context_is_refused_before_it_is_asked(policy):
    asked = request(policy, "1" * 190)  # 190 digits and two marks: 192 tokens, all there are
    with pytest.raises(PolicyError, match=r"192 tokens.*built for 192.*Lower state\.window"):
        asyncio.run(policy.reply(asked))


def test_near_the_end_of_the_context_a_reply_gets_the_room_that_is_left_and_its_neighbour_all_it_asked_for(policy):
    long = request(policy, "1" * 187, seeds(4), max_new_tokens=10)  # 189 tokens: room for 3
    short = request(policy, "2+2", seeds(4), max_new_tokens=10)
    cut, whole = policy.generate([long, short])
    assert max(len(reply.ids) for reply in cut) == 3 and cut[0].finish == "length"
    assert [r.ids for r in whole] == [r.ids for r in policy.generate([short])[0]]


def test_a_request_without_ids_is_refused(policy):
    with pytest.raises(PolicyError, match="takes token ids"):
        asyncio.run(policy.reply(replace(request(policy), prompt_ids=None)))


def test_requests_that_wait_together_are_generated_together(policy):
    sizes = []

    class Watching(LocalPolicy):
        def generate(self, requests, gone=None):
            sizes.append(len(requests))
            return super().generate(requests, gone)

    watching = Watching(policy.model, policy.renderer, name="w")

    async def one(text, n):
        try:
            return [(await watching.reply(request(policy, text, seeds(1, (text, k)))))[0].ids for k in range(n)]
        finally:
            watching.leave()

    async def play():
        for _ in range(3):
            watching.enter()
        return await asyncio.gather(one("1", 1), one("2", 2), one("3", 3))

    asyncio.run(play())
    assert sizes == [3, 2, 1]  # nobody waits for a problem that has ended


def test_the_first_to_ask_is_not_served_alone(policy, judge, tmp_path):
    """24 problems, 8 at a time, without fixed batches: every batch is full to the end, from the first on."""
    sizes = []

    class Watching(LocalPolicy):
        def generate(self, requests, gone=None):
            sizes.append(len(requests))
            return super().generate(requests, gone)

    watching = Watching(policy.model, policy.renderer, name="w", batch_size=8)
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        player = Player(watching, Prompt(), judge, Sampling(max_new_tokens=2), ledger, "x", renderer=policy.renderer)
        asyncio.run(rollout(player, [problem(f"p{i}", f"{i}+1") for i in range(24)], n_turns=1, stop_when_right=False))
    assert sizes == [8, 8, 8]


def test_nothing_is_generated_for_whoever_was_cancelled(policy):
    sizes = []

    class Watching(LocalPolicy):
        def generate(self, requests, gone=None):
            sizes.append(len(requests))
            return super().generate(requests, gone)

    watching = Watching(policy.model, policy.renderer, name="w")

    async def play():
        for _ in range(3):
            watching.enter()
        gone = asyncio.create_task(watching.reply(request(policy, "1")))
        kept = asyncio.create_task(watching.reply(request(policy, "2")))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        watching.leave()  # of the cancelled one
        watching.leave()  # of one that never asked
        return await kept

    assert len(asyncio.run(play())) == 1
    assert sizes == [1]


def test_a_batch_ends_when_nobody_waits_for_it_any_more_and_not_before(policy):
    class Endless(LocalPolicy):
        """Counts its steps, and never writes an end of turn."""

        steps = 0

        def _generate(self, rows, sampling, room):
            def count(module, args, output):
                self.steps += 1

            hook = self.model.register_forward_hook(count)
            try:
                return super()._generate(rows, sampling, room)
            finally:
                hook.remove()

    endless = Endless(policy.model, policy.renderer, name="e")
    endless.eos_ids = [-1]
    asked = request(policy, seeds=seeds(1), max_new_tokens=100)
    replies = endless.generate([asked, asked], [lambda: endless.steps >= 5, lambda: endless.steps >= 20])
    assert endless.steps == 20
    assert replies[0][0].ids[:5] == replies[1][0].ids[:5]


def test_an_error_while_generating_reaches_everyone_who_waits(policy):
    class Broken(LocalPolicy):
        def generate(self, requests, gone=None):
            raise RuntimeError("out of memory")

    broken = Broken(policy.model, policy.renderer, name="b")

    async def play():
        broken.enter(), broken.enter()
        return await asyncio.gather(broken.reply(request(policy)), broken.reply(request(policy)), return_exceptions=True)

    assert [str(error) for error in asyncio.run(play())] == ["out of memory"] * 2


def test_out_of_memory_names_the_setting_to_lower(policy):
    import torch

    class Full(LocalPolicy):
        def _generate(self, rows, sampling, room):
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(PolicyError, match=r"3 replies together \(batch_size = 64\)"):
        Full(policy.model, policy.renderer, name="f", batch_size=64).generate([request(policy, seeds=seeds(3))])


def test_another_type_of_weights_is_another_policy(nano_dir):
    assert make_policy(str(nano_dir), dtype="bfloat16").name == make_policy(str(nano_dir)).name + "-bfloat16"


def test_a_policy_is_named_by_its_weights(nano_dir, tmp_path):
    from rise.training.nano import make_nano

    same, other = tmp_path / "same", tmp_path / "other"
    make_nano(TINY, ALPHABET, seed=0, path=same)
    make_nano(TINY, ALPHABET, seed=1, path=other)
    names = [make_policy(str(path)).name for path in (nano_dir, same, other)]
    assert names[0] == names[1] != names[2]
    assert make_policy(f"local:{nano_dir}").name == names[0]


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ("locl:somewhere", PolicyError, 'Did you mean "local"'),
        ("scripted:/no/such/file", PolicyError, "No such file"),
        ("/no/such/model", ModelError, "no model can be loaded"),
        ("local:/no/such/model", ModelError, "no model can be loaded"),
    ],
)
def test_a_spec_that_leads_nowhere(spec, error, words):
    with pytest.raises(error, match=words):
        make_policy(spec)


# --- scoring ----------------------------------------------------------------------------------------------------------


def test_scores_are_the_log_probabilities_that_the_model_gives_each_token_alone(policy, monkeypatch):
    import torch

    prompts = [(3, 12, 15), (3, 12, 15, 9, 9, 9, 4), (4,), (3, 3)]
    replies = [(9, 2), (14, 14, 14, 2), (11,), ()]
    expected = []
    for prompt, reply in zip(prompts, replies, strict=True):
        with torch.no_grad():
            logits = policy.model(input_ids=torch.tensor([[*prompt, *reply]])).logits[0].double()
        by_token = torch.log_softmax(logits, -1)
        expected.append([float(by_token[len(prompt) - 1 + k, token]) for k, token in enumerate(reply)])
    for most in (8192, 12, 1):  # in one batch, in two, one by one
        monkeypatch.setattr("rise.policies.scoring.SCORED_TOKENS", most)
        scores = asyncio.run(policy.score(prompts, replies))
        assert [len(s) for s in scores] == [2, 4, 1, 0]
        for mine, theirs in zip(scores, expected, strict=True):
            assert mine == pytest.approx(theirs, abs=1e-4)


def test_the_scores_of_all_next_tokens_are_one_distribution(policy):
    n = len(policy.renderer.tokenizer)
    scores = asyncio.run(policy.score([(3, 12, 15)] * n, [(token,) for token in range(n)]))
    assert sum(2.718281828459045 ** s[0] for s in scores) == pytest.approx(1.0, abs=1e-5)


def test_a_reply_longer_than_the_model_is_not_scored(policy):
    with pytest.raises(PolicyError, match=r"ends at token 194 of its state, but .* was built for 192"):
        asyncio.run(policy.score([(3,) * 190], [(4,) * 4]))
