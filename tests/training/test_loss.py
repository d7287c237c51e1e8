"""Σ wᵢ·nllᵢ ÷ N, against numbers computed one token at a time."""

import math
from dataclasses import replace

import pytest
from training import close, examples, loss_and_gradient, weights_of

from rise.training.loss import batch_loss, tensors
from rise.training.rows import Row

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model(nano_dir):
    from rise.training.model import load_model

    return load_model(nano_dir)[0].eval()


@pytest.fixture(scope="module")
def data(renderer):
    return examples(renderer)


def nll(model, ids, t):
    """−log p(token t | tokens before it), the slow and obvious way."""
    import torch

    with torch.no_grad():
        return -torch.log_softmax(model(input_ids=torch.tensor([ids[:t]])).logits[0, -1].double(), -1)[ids[t]].item()


def by_hand(model, data, per="token"):
    """(loss, N): every reply token of every example, weighted."""
    total = 0.0
    for e in data:
        ids = [*e.prompt_ids, *e.reply_ids]
        each = [nll(model, ids, t) for t in range(len(e.prompt_ids), len(ids))]
        total += e.weight * (sum(each) if per == "token" else sum(each) / len(each))
    return total / (sum(len(e.reply_ids) for e in data) if per == "token" else len(data))


def test_an_untrained_model_pays_about_the_logarithm_of_the_vocabulary(model):
    import torch

    with torch.no_grad():
        total, plain = batch_loss(model, tensors([[Row([3, 9, 4, 8, 2], [0, 0, 0, 2.0, 2.0])]], 0))
    assert total.item() == pytest.approx(2 * plain.item())
    assert plain.item() / 2 == pytest.approx(math.log(model.config.vocab_size), rel=0.05)


def test_rows_on_one_line_do_not_see_each_other(model):
    import torch

    rows = [Row([3, 9, 4, 8, 2], [0, 0, 0, 1.0, 1.0]), Row([3, 10, 4, 7, 2], [0, 0, 0, 3.0, 3.0]), Row([3, 4, 2], [0, 0, 1.0])]
    with torch.no_grad():
        together = batch_loss(model, tensors([rows], 0))[0].item()
        apart = sum(batch_loss(model, tensors([[row]], 0))[0].item() for row in rows)
        padded = batch_loss(model, tensors([[row] for row in rows], 0))[0].item()
    assert together == pytest.approx(apart, abs=1e-5) == padded


def test_an_empty_batch_costs_nothing_and_still_reaches_every_weight(nano_dir):
    from rise.training.model import load_model

    net = load_model(nano_dir)[0]
    total, plain = batch_loss(net, tensors([], 0))
    total.backward()
    assert total.item() == plain.item() == 0.0
    assert all(p.grad is not None and p.grad.abs().max() == 0 for p in net.parameters())  # DDP waits for each of them


def test_the_worked_example_of_the_method_page():
    """Two examples of 1 and 3 tokens, weights 2 and 1, every nll 0.5 (docs/method.md, Loss)."""
    from types import SimpleNamespace

    import torch

    from rise.dataset.example import Example
    from rise.training.rows import make_rows

    class HalfNat(torch.nn.Module):
        """Gives token 0 the probability exp(−0.5), and token 1 the rest."""

        def __init__(self):
            super().__init__()
            self.head = torch.nn.Linear(1, 2, bias=False)
            self.head.weight.data = torch.tensor([[-0.5], [math.log(1 - math.exp(-0.5))]])

        def get_output_embeddings(self):
            return self.head

        def forward(self, input_ids, **kwargs):
            return SimpleNamespace(logits=self.head(torch.ones(*input_ids.shape, 1)))

    weights = {"a": (2.0, 1), "b": (1.0, 3)}
    data = [Example(name, 0, (), "", "student", 0.0, weight, (1, 1), (0,) * n) for name, (weight, n) in weights.items()]
    for per, n, expected in (("token", 4, 0.625), ("sequence", 2, 0.75)):
        rows = make_rows(data, per=per, merge=True)
        assert batch_loss(HalfNat(), tensors([rows], 1))[0].item() / n == pytest.approx(expected)


@pytest.mark.parametrize("per", ["token", "sequence"])
def test_the_loss_is_what_one_computes_token_by_token(model, data, nano_dir, tmp_path, per):
    loss, _ = loss_and_gradient(data, nano_dir, tmp_path / "out", per=per)
    assert loss == pytest.approx(by_hand(model, data, per), abs=1e-5)


def test_per_sequence_a_short_reply_counts_as_much_as_a_long_one(model, data, nano_dir, tmp_path):
    # Same two replies under both: per token the long one dominates, per sequence they are averaged.
    two = [replace(e, weight=1.0) for e in sorted(data, key=lambda e: len(e.reply_ids))[:: len(data) - 1]]
    short, long = (by_hand(model, [e]) for e in two)
    n = [len(e.reply_ids) for e in two]
    per_token, _ = loss_and_gradient(two, nano_dir, tmp_path / "t", per="token")
    per_sequence, _ = loss_and_gradient(two, nano_dir, tmp_path / "s", per="sequence")
    assert n[0] < n[1]
    assert per_token == pytest.approx((n[0] * short + n[1] * long) / sum(n), abs=1e-5)
    assert per_sequence == pytest.approx((short + long) / 2, abs=1e-5)


def test_unit_weights_are_plain_cross_entropy(nano_dir, data, tmp_path):
    import torch

    from rise.training.model import load_model

    plain = [replace(e, weight=1.0) for e in data]
    loss, gradient = loss_and_gradient(plain, nano_dir, tmp_path / "out", merge=False)
    net = load_model(nano_dir)[0]
    net.train()
    longest = max(len(e.prompt_ids) + len(e.reply_ids) for e in plain)
    ids, labels = torch.zeros(len(plain), longest, dtype=torch.long), torch.full((len(plain), longest), -100)
    for b, e in enumerate(plain):
        whole = [*e.prompt_ids, *e.reply_ids]
        ids[b, : len(whole)] = torch.tensor(whole)
        labels[b, len(e.prompt_ids) : len(whole)] = torch.tensor(e.reply_ids)
    lengths = torch.tensor([len(e.prompt_ids) + len(e.reply_ids) for e in plain])
    mask = (torch.arange(longest) < lengths[:, None]).int()
    theirs = net(input_ids=ids, attention_mask=mask, labels=labels).loss
    theirs.backward()
    assert loss == pytest.approx(theirs.item(), abs=1e-5)
    assert all((gradient[n] - p.grad).abs().max() < 1e-5 for n, p in net.named_parameters())


def test_doubling_one_weight_adds_exactly_that_examples_gradient(nano_dir, data, tmp_path):
    n_tokens = sum(len(e.reply_ids) for e in data)
    _, before = loss_and_gradient(data, nano_dir, tmp_path / "a")
    doubled = [replace(e, weight=2 * e.weight) if i == 3 else e for i, e in enumerate(data)]
    _, after = loss_and_gradient(doubled, nano_dir, tmp_path / "b")
    _, alone = loss_and_gradient([data[3]], nano_dir, tmp_path / "c")
    share = len(data[3].reply_ids) / n_tokens  # alone it was divided by its own tokens
    assert max(g.abs().max() for g in alone.values()) > 1e-2
    assert close({name: after[name] - before[name] for name in after}, {name: alone[name] * share for name in alone})


def test_weight_0_adds_nothing_and_does_not_count(nano_dir, data, tmp_path):
    with_zero = [*data, replace(data[0], weight=0.0, problem_id="other")]
    loss, gradient = loss_and_gradient(data, nano_dir, tmp_path / "a")
    same_loss, same_gradient = loss_and_gradient(with_zero, nano_dir, tmp_path / "b")
    assert same_loss == loss and close(gradient, same_gradient, 1e-9)


def test_weight_0_kept_in_adds_nothing_but_to_the_count(nano_dir, data, tmp_path, monkeypatch):
    """Were it not dropped, its tokens would be in N and in nothing else."""
    from rise.training import finetune

    _, without = loss_and_gradient(data, nano_dir, tmp_path / "a")
    monkeypatch.setattr(finetune, "trainable", lambda examples, config, dropped: list(examples))
    _, kept = loss_and_gradient([*data, replace(data[0], weight=0.0, problem_id="other")], nano_dir, tmp_path / "b")
    n = sum(len(e.reply_ids) for e in data)
    scale = (n + len(data[0].reply_ids)) / n
    assert close({name: scale * kept[name] for name in kept}, without, 1e-5)


def test_the_normaliser_does_not_depend_on_the_weights(nano_dir, data, tmp_path):
    loss, gradient = loss_and_gradient(data, nano_dir, tmp_path / "a")
    tripled = [replace(e, weight=3 * e.weight) for e in data]
    triple_loss, triple_gradient = loss_and_gradient(tripled, nano_dir, tmp_path / "b")
    assert triple_loss == pytest.approx(3 * loss, rel=1e-5)
    assert close(triple_gradient, {name: 3 * g for name, g in gradient.items()})


def test_another_temperature_trains_another_model(nano_dir, data, tmp_path):
    from training import one_step

    from rise.dataset.weigh import mean_one, reward_weight
    from rise.training import train

    trained = []
    for tau in (0.2, 0.4, 1e9):
        weights = mean_one([reward_weight(float(i % 2), tau) for i in range(len(data))])
        out = tmp_path / str(tau)
        train([replace(e, weight=w) for e, w in zip(data, weights, strict=True)], nano_dir, out, one_step())
        trained.append(weights_of(out))
    assert not close(trained[0], trained[1], 1e-3) and not close(trained[1], trained[2], 1e-3)
