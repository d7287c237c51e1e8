"""Losses beyond weighted likelihood: each token on paper, exact however it is packed, with the gradient of the formula."""

import math
from dataclasses import replace

import pytest
import torch
from training import close, examples, known, loss_and_gradient, one_step, weights_of

from rise.dataset.losses import KLS, LOSSES, Bounds, Tokens, cost_of
from rise.errors import DataError
from rise.recipe.config import TrainConfig
from rise.training import train
from rise.training.chunked_loss import Head
from rise.training.loss import COLUMNS, batch_loss, tensors
from rise.training.model import load_model
from rise.training.rows import make_rows

pytestmark = pytest.mark.usefixtures("one_thread")
NAMES = list(LOSSES)


@pytest.fixture(scope="module")
def data(renderer):
    return known(examples(renderer))


def token(p, weight, sampled=1.0, reference=1.0, kl=0.0, *, name="likelihood", kind="k3", **bounds):
    """(cost, ∂cost/∂log p) of one token of probability p, drawn with probability `sampled`."""
    logp = torch.tensor([math.log(p)], dtype=torch.float64, requires_grad=True)
    columns = (torch.tensor([value], dtype=torch.float64) for value in (weight, math.log(sampled), math.log(reference), kl))
    cost = cost_of(name, Bounds(kl=kind, **bounds))(logp, Tokens(*columns))
    return cost.item(), torch.autograd.grad(cost.sum(), logp)[0].item()


# --- one token, on paper ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("p", "weight", "cost", "slope"),
    [
        (0.25, 2.0, 2 * 1.386294, -2.0),  # −ln ¼ = 1.386294
        (0.25, -1.0, -1.386294, 1.0),  # pushed down: less likely is cheaper
        (0.005, -1.0, math.log(0.01), 0.0),  # at the floor of 0.01 it is pushed no further
        (0.005, 1.0, -math.log(0.005), -1.0),  # and pulled up from below it as ever
    ],
)
def test_a_negative_weight_pushes_down_to_the_floor_and_no_further(p, weight, cost, slope):
    assert token(p, weight, floor=0.01) == pytest.approx((cost, slope), abs=1e-6)


@pytest.mark.parametrize(
    ("p", "advantage", "cost", "slope"),
    [
        (0.5, 1.0, -1.0, -1.0),  # drawn at ½ and still ½: the ratio is 1, the gradient REINFORCE's
        (0.55, 1.0, -1.1, -1.1),
        (0.7, 1.0, -1.2, 0.0),  # 1.4 is clipped to 1.2: pulled no further
        (0.3, 1.0, -0.6, -0.6),  # below the clip on the wrong side: pulled back
        (0.5, -2.0, 2.0, 2.0),
        (0.3, -2.0, 1.6, 0.0),  # 0.6 is clipped to 0.8: pushed no further
        (0.7, -2.0, 2.8, 2.8),
    ],
)
def test_the_ratio_is_clipped_where_it_has_moved_the_way_the_advantage_pulls(p, advantage, cost, slope):
    assert token(p, advantage, sampled=0.5, name="policy-gradient") == pytest.approx((cost, slope), abs=1e-9)


def test_held_to_a_reference_of_twice_the_probability():
    """d = ln 2. k3: 2 − ln 2 − 1 = 0.306853, slope 1 − 2 = −1. k2: ½·0.480453 = 0.240227, slope −0.693147."""
    assert token(0.25, 0.0, reference=0.5, kl=1.0) == pytest.approx((0.306853, -1.0), abs=1e-6)
    assert token(0.25, 0.0, reference=0.5, kl=1.0, kind="k2") == pytest.approx((0.240227, -0.693147), abs=1e-6)
    assert token(0.25, 0.0, reference=0.5, kl=0.1) == pytest.approx((0.0306853, -0.1), abs=1e-6)
    assert token(0.25, 1.0, reference=0.5, kl=0.1)[1] == pytest.approx(-1.1)  # beside the loss, not in its place


def test_over_all_tokens_k3_has_the_gradient_of_kl_from_the_reference_and_k2_of_kl_to_it():
    """Three tokens, every one of them drawn as often as the model says: the expectation is a sum, and no sampling is in it."""
    logits = torch.tensor([0.3, -0.2, 1.0], dtype=torch.float64, requires_grad=True)
    reference = torch.log_softmax(torch.tensor([1.0, 0.5, -1.0], dtype=torch.float64), -1)
    logp = torch.log_softmax(logits, -1)
    own = logp.detach().exp()
    expected = {
        "k3": (reference.exp() * (reference - logp)).sum(),  # KL(reference ‖ model)
        "k2": (logp.exp() * (logp - reference)).sum(),  # KL(model ‖ reference)
    }
    assert set(expected) == set(KLS)
    for name, divergence in expected.items():
        estimated = torch.autograd.grad((own * KLS[name](reference - logp)).sum(), logits, retain_graph=True)[0]
        exact = torch.autograd.grad(divergence, logits, retain_graph=True)[0]
        assert torch.allclose(estimated, exact, atol=1e-12) and exact.abs().max() > 0.1


@pytest.mark.parametrize("name", NAMES)
def test_a_token_that_does_not_count_costs_nothing_however_unlikely(name):
    """The one token of an empty batch: its exponents would be infinite, and 0 times infinity is no number."""
    assert token(1e-300, 0.0, name=name) == (0.0, 0.0)


@pytest.mark.parametrize("kl", KLS)
@pytest.mark.parametrize("name", NAMES)
def test_the_slope_of_each_cost_is_what_finite_differences_say(name, kl):
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.rand(40, generator=generator, dtype=torch.float64) for _ in range(4)]
    tokens = Tokens(4 * drawn[0] - 2, -3 * drawn[1], -3 * drawn[2], drawn[3])
    logp = (-3 * torch.rand(40, generator=generator, dtype=torch.float64)).requires_grad_()
    cost = cost_of(name, Bounds(kl=kl))
    assert torch.autograd.gradcheck(lambda x: cost(x, tokens), (logp,), eps=1e-7)


# --- the whole model --------------------------------------------------------------------------------------------------


def lines_of(data, n=6):
    rows = make_rows(data[:n], per="token", merge=True)
    return [rows[: len(rows) // 2], rows[len(rows) // 2 :]]


@pytest.mark.parametrize("name", NAMES)
def test_in_chunks_as_without(name, nano_dir, data):
    found = {}
    cost = cost_of(name, Bounds())
    for fused in (True, False):
        net = load_model(nano_dir)[0]
        head = Head(net)
        head.fused, head.chunk = fused, 3
        total, plain = batch_loss(net, tensors(lines_of(data), 0), head, cost)
        total.backward()
        found[fused] = (total.item(), plain.item(), {name: p.grad for name, p in net.named_parameters()})
    assert found[True][:2] == pytest.approx(found[False][:2], rel=1e-5)
    assert close(found[True][2], found[False][2], 1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_is_what_finite_differences_of_the_loss_say(name, nano_dir, data):
    """Along three random directions, through the whole model and the output layer in chunks."""
    net = load_model(nano_dir)[0].eval()
    cost, inputs = cost_of(name, Bounds(clip_low=1.0, clip_high=50.0)), tensors(lines_of(data), 0)  # no kink on the way
    batch_loss(net, inputs, None, cost)[0].backward()
    parameters = list(net.parameters())
    gradients = [p.grad.clone() for p in parameters]
    for seed in range(3):
        torch.manual_seed(seed)
        direction = [torch.randn_like(p) for p in parameters]
        size = sum(float((d * d).sum()) for d in direction) ** 0.5
        along = sum(float((g * d).sum()) for g, d in zip(gradients, direction, strict=True)) / size
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                for p, d in zip(parameters, direction, strict=True):
                    p.add_(d, alpha=sign * 0.02 / size)
                values.append(float(batch_loss(net, inputs, None, cost)[0]))
                for p, d in zip(parameters, direction, strict=True):
                    p.sub_(d, alpha=sign * 0.02 / size)
        assert (values[0] - values[1]) / 0.04 == pytest.approx(along, rel=0.02, abs=0.02)


@pytest.mark.parametrize(
    ("name", "per"),
    [
        (n, per) if per == "token" else pytest.param(n, per, marks=pytest.mark.slow)
        for n in NAMES
        for per in ("token", "sequence")
    ],
)
def test_packed_merged_and_accumulated_as_one_by_one(name, per, nano_dir, data, tmp_path):
    apart = {"line_length": 8, "micro_batch_tokens": 8, "merge": False}
    together = [{"line_length": 128}, {"line_length": 64, "micro_batch_tokens": 128}, {"merge": False, "line_length": 128}]
    loss = {"name": name}
    expected, gradient = loss_and_gradient(data, nano_dir, tmp_path / "a", per=per, loss=loss, **apart)
    assert max(g.abs().max() for g in gradient.values()) > 1e-2
    for i, settings in enumerate(together):
        found, other = loss_and_gradient(data, nano_dir, tmp_path / str(i), per=per, loss=loss, **settings)
        assert found == pytest.approx(expected, abs=1e-5) and close(other, gradient, 1e-5)


def test_a_merged_row_keeps_every_column_in_its_place(renderer):
    """Two turns, the second behind the first: 3 prompt tokens, 2 of the reply, 2 more of the prompt, 1 of the reply."""
    first = replace(examples(renderer)[0], prompt_ids=(5, 6, 7), reply_ids=(8, 2), weight=-2.0, sampled_logps=(-1.0, -2.0))
    second = replace(first, prompt_ids=(5, 6, 7, 8, 2, 5, 6), reply_ids=(9,), sampled_logps=(), weight=3.0)
    second = replace(second, token_weights=(0.5,), reference_logps=(-4.0,), kl=0.1)
    [row] = make_rows([second, first], per="token", merge=True)
    assert row.weights == [0, 0, 0, -2.0, -2.0, 0, 0, 1.5]
    batch = tensors([[row]], 0)
    shown = {name: [round(v, 6) for v in batch[name][0].tolist()] for name in COLUMNS}
    assert shown["sampled"] == [0, 0, 0, -1, -2, 0, 0, 0]
    assert shown["reference"] == [0] * 7 + [-4] and shown["kl"] == [0] * 7 + [0.1]
    [short] = make_rows([first], per="sequence", merge=True)
    assert short.weights == [0, 0, 0, -1.0, -1.0] and short.sampled == [0, 0, 0, -1.0, -2.0]


def test_pushed_down_as_strongly_as_pulled_up_and_n_stays(nano_dir, renderer, tmp_path):
    """N counts the tokens of negative examples too: −w has the gradient of w, turned round."""
    data = examples(renderer)
    up = loss_and_gradient(data, nano_dir, tmp_path / "up")
    negative = [replace(e, weight=-e.weight) for e in data]
    down = loss_and_gradient(negative, nano_dir, tmp_path / "down", loss={"floor": 1e-6})
    assert down[0] == pytest.approx(-up[0], abs=1e-5)
    assert close(down[1], {name: -g for name, g in up[1].items()})
    # One of them negative: its own gradient changes sign, nobody else's changes size.
    one = loss_and_gradient([*data[:3], negative[3], *data[4:]], nano_dir, tmp_path / "one", loss={"floor": 1e-6})
    alone = loss_and_gradient([data[3]], nano_dir, tmp_path / "alone")
    share = 2 * len(data[3].reply_ids) / sum(len(e.reply_ids) for e in data)
    assert close(one[1], {name: up[1][name] - share * alone[1][name] for name in up[1]})


def test_a_negative_example_below_the_floor_is_left_alone(nano_dir, renderer, tmp_path):
    """An untrained model gives every token about 1/46: with a floor of ½ nothing is pushed."""
    data = [replace(e, weight=-1.0) for e in examples(renderer)]
    _, gradient = loss_and_gradient(data, nano_dir, tmp_path / "out", loss={"floor": 0.5})
    assert all(g.abs().max() == 0 for g in gradient.values())


@pytest.mark.slow
def test_pushed_down_it_stops_near_the_floor_and_without_one_falls_for_ever(nano_dir, renderer, tmp_path):
    """One reply pulled up, another pushed down, sixty times at a large rate."""
    from rise.policies.scoring import score

    good, bad = examples(renderer)[:2]
    lowest = {}
    for floor in (0.05, 1e-30):
        config = TrainConfig(epochs=60, batch_size=2, learning_rate=1e-2, loss={"floor": floor})
        train([replace(good, weight=1.0), replace(bad, weight=-1.0)], nano_dir, tmp_path / str(floor), config)
        net = load_model(tmp_path / str(floor))[0].eval()
        lifted, pushed = score(net, [good.prompt_ids, bad.prompt_ids], [good.reply_ids, bad.reply_ids], "cpu")
        lowest[floor] = min(pushed)
        if floor == 0.05:
            assert min(lifted) > math.log(0.5)
    assert lowest[1e-30] < lowest[0.05] - 5  # nats


def test_at_the_model_that_drew_the_replies_the_policy_gradient_is_the_weighted_likelihoods(nano_dir, renderer, tmp_path):
    from rise.policies.scoring import score

    data = [replace(e, weight=e.weight - 6) for e in examples(renderer)]
    net = load_model(nano_dir)[0].eval()
    logps = score(net, [e.prompt_ids for e in data], [e.reply_ids for e in data], "cpu")
    drawn = [replace(e, sampled_logps=own) for e, own in zip(data, logps, strict=True)]
    _, plain = loss_and_gradient(data, nano_dir, tmp_path / "a", loss={"floor": 1e-9})
    loss, gradient = loss_and_gradient(drawn, nano_dir, tmp_path / "b", loss={"name": "policy-gradient"})
    assert close(gradient, plain, 1e-4)
    n = sum(len(e.reply_ids) for e in data if e.weight)  # what has no pull does not train, and does not count
    assert loss == pytest.approx(-sum(e.weight * len(e.reply_ids) for e in data) / n, abs=1e-4)  # every ratio is 1


def test_a_reply_held_to_the_model_itself_has_no_gradient(nano_dir, renderer, tmp_path):
    from rise.policies.scoring import score

    data = examples(renderer)
    net = load_model(nano_dir)[0].eval()
    logps = score(net, [e.prompt_ids for e in data], [e.reply_ids for e in data], "cpu")
    held = [replace(e, weight=0.0, kl=1.0, reference_logps=own) for e, own in zip(data, logps, strict=True)]
    loss, gradient = loss_and_gradient(held, nano_dir, tmp_path / "out")
    assert abs(loss) < 1e-6 and all(g.abs().max() < 1e-5 for g in gradient.values())


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "settings", "says"),
    [
        ({}, {"name": "policy-gradient"}, r"no log-probabilities of when it was drawn.*likelihood"),
        ({"kl": 0.1}, {}, r"held to a reference \(kl = 0.1\)"),
        ({"token_weights": (1.0,)}, {}, r"1 values in token_weights for \d+ reply tokens"),
        ({"reference_logps": (-math.inf,) * 2}, {}, "holds -inf"),
        ({"token_weights": (-1.0,) * 2}, {"floor": 0.0}, r"train\.loss\.floor = 0"),
    ],
)
def test_an_example_that_the_loss_cannot_use_is_refused_before_training(change, settings, says, nano_dir, renderer, tmp_path):
    example = replace(next(e for e in examples(renderer) if len(e.reply_ids) > 2), **change)
    two = {name: value for name, value in change.items() if isinstance(value, tuple) and len(value) == 2}
    if two:
        example = replace(example, reply_ids=example.reply_ids[:2])
    with pytest.raises(DataError, match=says):
        train([example], nano_dir, tmp_path / "out", TrainConfig(loss=settings))
    assert not (tmp_path / "out").exists()


def test_unfinished_training_knows_its_loss_and_its_columns(nano_dir, data):
    from rise.training.checkpoints import settings_of

    def made(examples, **loss):
        return settings_of(examples, nano_dir, one_step(loss=loss), None, 0, 1)

    assert made(data) == made(data)
    assert made(data)["examples"] != made([replace(data[0], sampled_logps=()), *data[1:]])["examples"]
    assert made(data)["examples"] != made([replace(data[0], kl=9.0), *data[1:]])["examples"]
    assert "loss" not in made(data)["train"] and made(data, floor=0.5)["train"]["loss"]["floor"] == 0.5


@pytest.mark.slow
def test_two_seeds_of_columns_train_two_models(nano_dir, renderer, tmp_path):
    """No column is left behind on the way to the weights."""
    plain = examples(renderer)
    base = known(plain)
    settings = one_step(loss={"name": "policy-gradient"})
    trained = {}
    for name in ("", "sampled_logps", "reference_logps", "token_weights", "kl"):
        changed = base
        if name:
            other = [getattr(e, name) for e in known(plain, seed=1)] if name != "kl" else [e.kl + 0.5 for e in base]
            changed = [replace(e, **{name: value}) for e, value in zip(base, other, strict=True)]
        train(changed, nano_dir, tmp_path / f"x{name}", settings)
        trained[name] = weights_of(tmp_path / f"x{name}")
    assert not any(close(trained[""], trained[name], 1e-4) for name in trained if name)
