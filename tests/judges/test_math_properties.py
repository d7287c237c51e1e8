r"""Properties of the judge of mathematics: a gold rewritten is right, a gold changed is wrong, and votes agree with verdicts."""

import random
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from verdicts import RIGHT, WRONG, verdict

from rise.judges.answers import extract
from rise.judges.math import MathJudge
from rise.tasks.sources import data_directory

QUICK = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
SAME = MathJudge().same

_WHOLE = st.integers(-(10**6), 10**6)
_SMALL = st.integers(2, 60)

integers = _WHOLE.map(str)
fractions = st.builds(lambda a, b: rf"\frac{{{a}}}{{{b}}}", _WHOLE, _SMALL)
powers = st.builds(lambda a, b: rf"\frac{{1}}{{{a}^{{{b}}}}}", _SMALL, st.integers(2, 200))
roots = st.builds(lambda a, b: rf"{a}\sqrt{{{b}}}", _SMALL, st.sampled_from([2, 3, 5, 7, 11]))
formulas = st.builds(lambda a, b, c: f"{a}x^2+{b}x-{c}", _SMALL, _SMALL, _SMALL)
leaves = st.one_of(integers, fractions, powers, roots, formulas)
pairs = st.builds(lambda a, b: f"({a}, {b})", leaves, leaves)
lists = st.lists(st.one_of(integers, fractions, roots), min_size=2, max_size=4, unique=True).map(", ".join)
intervals = st.builds(
    lambda a, b, left, right: f"{left}{a}, {b + a}{right}", _WHOLE, _SMALL, st.sampled_from("(["), st.sampled_from(")]")
)
answers = st.one_of(leaves, pairs, lists, intervals)


def _unicode(text):
    return text.replace("-", "−").replace("^2", "²").replace("\\sqrt{2}", "√2")


REWRITES = {
    "itself": lambda a: a,
    "in dollars": lambda a: f"${a}$",
    "with a full stop": lambda a: f"{a}.",
    "larger brackets": lambda a: (
        a.replace("(", r"\Bigl(").replace(")", r"\Bigr)").replace("[", r"\left[").replace("]", r"\right]")
    ),
    "larger fractions": lambda a: a.replace(r"\frac", r"\dfrac"),
    "other spaces": lambda a: r"\;" + a.replace(", ", r",\ \,") + r"\quad",
    "other characters": _unicode,
    "in colour": lambda a: rf"\textcolor{{blue}}{{{a}}}",
    "in size": lambda a: rf"{{\large {a}}}",
    "with its name": lambda a: f"x = {a}" if "," not in a and "x" not in a else a,
    "in full width": lambda a: a.replace(",", "，").replace("(", "（").replace(")", "）"),
}
"""Ten ways, and none."""


@QUICK
@given(answers, st.sampled_from(sorted(REWRITES)))
def test_a_gold_rewritten_is_right(gold, how):
    answer = REWRITES[how](gold)
    assert verdict(gold, f"\\boxed{{{answer}}}") is RIGHT
    assert SAME(gold, answer) and SAME(answer, gold)


@QUICK
@given(answers, st.randoms(use_true_random=False))
def test_a_gold_with_one_digit_changed_is_wrong(gold, rng):
    at = rng.choice([i for i, character in enumerate(gold) if character.isdigit()])
    changed = gold[:at] + rng.choice([digit for digit in "123456789" if digit != gold[at]]) + gold[at + 1 :]
    if _exact(gold) is not None and _exact(gold) == _exact(changed):
        return  # 01 for 11 and the like: worked out apart from the judge
    assert verdict(gold, f"\\boxed{{{changed}}}") is WRONG
    assert not SAME(gold, changed) and not SAME(changed, gold)


def _exact(text):
    try:
        return Fraction(text.replace(r"\frac{", "").replace("}{", "/").rstrip("}"))
    except (ValueError, ZeroDivisionError):
        return None


@QUICK
@given(leaves.filter(lambda text: _exact(text) != 0))
def test_a_gold_with_its_sign_changed_is_wrong(gold):
    changed = gold[1:] if gold.startswith("-") else f"-{gold}"
    assert verdict(gold, f"\\boxed{{{changed}}}") is WRONG and not SAME(changed, gold)


@QUICK
@given(lists, st.randoms(use_true_random=False))
def test_a_list_is_right_in_any_order_and_wrong_with_another_member(gold, rng):
    items = gold.split(", ")
    shuffled = rng.sample(items, len(items))
    assert verdict(gold, f"\\boxed{{{', '.join(shuffled)}}}") is RIGHT
    for changed in (items[:-1], [*items, "17 000 001"], [*items, items[0]]):
        answer = ", ".join(changed)
        assert verdict(gold, f"\\boxed{{{answer}}}") is WRONG and not SAME(answer, gold)
    if shuffled != items:
        assert verdict(f"({gold})", f"\\boxed{{({', '.join(shuffled)})}}") is WRONG


@QUICK
@given(st.integers(2, 9), st.integers(2, 9), st.integers(1, 10**6))
def test_a_numeral_is_right_in_its_base_only(base, other, value):
    digits = ""
    while value:
        value, digit = divmod(value, base)
        digits = f"{digit}{digits}"
    answers = (f"{digits}_{{{base}}}", f"({digits})_{base}", digits)
    assert all(verdict(f"{digits}_{base}", f"\\boxed{{{answer}}}") is RIGHT for answer in answers)
    assert (verdict(f"{digits}_{base}", f"\\boxed{{{digits}_{other}}}") is RIGHT) is (base == other)


@settings(QUICK, max_examples=150)
@given(answers, answers)
def test_votes_are_symmetric_and_agree_with_verdicts(left, right):
    same = SAME(left, right)
    assert same is SAME(right, left)
    assert same is (verdict(left, f"\\boxed{{{right}}}") is RIGHT)


_ODD = st.lists(
    st.sampled_from(
        [
            *"0123456789xyR+-*/()[]{}^_,=<>.!|%'i&個²½√",
            *(r"\frac", r"\sqrt", r"\pi", r"\text{a}", r"\text{ or }", r"\{", r"\}", r"\cup", r"\pm", r"\le", r"\infty", r"\\"),
            *("(B)", "_8", r"\overline{3}", r"\begin{pmatrix}", r"\end{pmatrix}", " ", " cm", " m/s"),
        ]
    ),
    max_size=14,
).map("".join)


@settings(QUICK, max_examples=300)
@given(_ODD, _ODD)
def test_votes_on_odd_text_are_symmetric_and_agree_with_verdicts(left, right):
    judge = MathJudge(symbolic=False)
    assert judge.same(left, right) is judge.same(right, left)
    if extract(f"\\boxed{{{left}}}") == left and extract(f"\\boxed{{{right}}}") == right:
        assert (verdict(left, f"\\boxed{{{right}}}", judge) is RIGHT) <= judge.same(left, right)


def test_pairs_of_different_golds_of_math_are_wrong():
    """A sample of what `benchmarks/judge.py --only golds` does in full."""
    if not (data_directory() / "math" / "test.jsonl").is_file():
        pytest.skip("no benchmark data: set $RISE_DATA")
    from rise.tasks import make_task

    golds = sorted({extract(problem.gold) or problem.gold for problem in make_task("math").problems("test")})
    judge = MathJudge(symbolic=False)
    assert all(
        judge.same(REWRITES[how](gold), gold) for gold in golds for how in ("in dollars", "other spaces", "larger fractions")
    )
    rng = random.Random(0)
    picked = [rng.sample(golds, 2) for _ in range(300)]
    hits = [pair for pair in picked if judge.same(*pair) and "=" not in "".join(pair)]
    assert hits == []
