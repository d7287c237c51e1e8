r"""Verdicts, worked by hand; every checker fault we know of as a case."""

import json
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from odd_texts import odd_texts
from verdicts import RIGHT, TIMED_OUT, UNPARSABLE, WRONG, box, verdict

from rise.errors import ConfigError, DataError
from rise.judges import math as judging
from rise.judges.math import MathJudge, too_big
from rise.task import Problem
from rise.tasks import make_task
from rise.tasks.sources import data_directory


@pytest.mark.parametrize(
    ("gold", "reply", "expected"),
    [
        ("#### 72", r"\boxed{72}", RIGHT),
        ("#### 72", "so\n#### 72", RIGHT),
        ("72", r"\boxed{71}", WRONG),
        (r"hence $\boxed{\frac{1}{2}}$", r"\boxed{0.5}", RIGHT),
        # rise-method §9, GSM8K: a comma in gold made 1,200 read as 1 (14 test and 79 train rows)
        ("#### 1,200", r"\boxed{1200}", RIGHT),
        ("#### 1,200", r"\boxed{1}", WRONG),
        # §9, GSM8K: only integers were parsed in a box
        ("#### 18", r"\boxed{18.0}", RIGHT),
        ("#### 18", r"\boxed{$18}", RIGHT),
        ("#### 18", r"\boxed{18\%}", RIGHT),
        ("#### 18", r"\boxed{\text{18 dollars}}", RIGHT),
        ("#### 1000", r"\boxed{1{,}000}", RIGHT),
        ("#### 1", r"\boxed{\frac{2}{2}}", RIGHT),
        # §9, MATH: nothing on both sides was called equal; units cut text; degrees; short fractions; leading zero; x =
        ("5", r"no box", UNPARSABLE),
        ("10", r"\boxed{10\text{ cm}}", RIGHT),
        ("90", r"\boxed{90^\circ}", RIGHT),
        (r"\frac12", r"\boxed{.5}", RIGHT),
        ("5", r"\boxed{x=5}", RIGHT),
        ("0.25", r"\boxed{\frac14}", RIGHT),  # only 0.5 was known
        ("5", r"\fbox{5}", RIGHT),
        ("3", r"$\boxed 3$", RIGHT),
        # peers §C.4
        ("5", "The number 5 came up", UNPARSABLE),  # verifiers#1028
        ("5", r"\boxed{\boxed{5}}", RIGHT),  # slime#543
        ("5", r"\boxed{5} then \boxed{6", UNPARSABLE),  # marin#9163
        ("5", r"\boxed{4} then \boxed{\text{5}}", RIGHT),  # NeMo-Gym#1844
        # lm-evaluation-harness#3477: what stands in a command that only changes the look
        ("5", r"\boxed{\textbf{5}}", RIGHT),
        ("5", r"\boxed{\mathrm{5}}", RIGHT),
        ("1000", r"\boxed{\mathbf{1{,}000}}", RIGHT),
        ("-3", "\\boxed{\u22123}", RIGHT),  # a minus sign that is not a hyphen
        ("2.5", r"\boxed{2\dfrac{1}{2}\text{ hours}}", RIGHT),
        # unparsable: an empty box, or a box without a number where gold is one
        ("5", r"\boxed{}", UNPARSABLE),
        ("5", r"\boxed{}, \boxed{ }", UNPARSABLE),
        ("5", r"\boxed{x}", UNPARSABLE),
        ("5", r"\boxed{\text{five}}", UNPARSABLE),
        ("5", r"\boxed{\frac{a}{b}}", UNPARSABLE),
        ("5", "#### the answer", UNPARSABLE),
        ("5", r"\boxed{5 or 6}", WRONG),
        ("5", r"\boxed{5, 6}", WRONG),
        # words and choices
        ("Monday", r"\boxed{\text{Monday}}", RIGHT),
        ("Monday", r"\boxed{monday}", RIGHT),
        ("Monday", r"\boxed{Tuesday}", WRONG),
        (r"(\text{E})", r"\boxed{E}", RIGHT),
        ("3032_5", r"\boxed{3032_{5}}", RIGHT),
        ("3032_5", r"\boxed{3032}", RIGHT),  # the base is said by the question
        ("x+1", r"\boxed{$x + 1$}", RIGHT),
    ],
)
def test_verdicts_that_need_no_worker(gold, reply, expected, monkeypatch):
    monkeypatch.setattr(judging, "_verified", lambda *_: pytest.fail("a worker was asked"))
    assert verdict(gold, reply) is expected


@pytest.mark.parametrize(
    ("gold", "answer", "right"),
    [
        # §9, MATH: truncated at the second level of braces, these two were equal
        (r"\frac{\sqrt{3}}{2}", r"\frac{\sqrt{3}}{4}", False),
        (r"\frac{\sqrt{3}}{2}", r"\sqrt{3}/2", True),
        # no set, interval, decimal equivalence in the reference; lm-evaluation-harness#3477, #3643: false negatives
        (r"\{1, 2\}", "2, 1", True),
        (r"1,-1,-3i", r"-3i, 1, -1", True),
        ("(1,2)", "(2,1)", False),
        ("(1,2)", r"\{1,2\}", False),
        ("(1,2]", r"\left( 1, 2 \right]", True),
        ("(1,2]", "(1,2)", False),
        ("[-2,0]", r"x \in [-2,0]", True),
        (r"(-\infty,0)\cup(0,\infty)", r"(0,\infty) \cup (-\infty,0)", True),
        (r"x+y", "y+x", True),
        ("(x-1)^2", "x^2-2x+1", True),
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{bmatrix}1\\2\end{bmatrix}", True),
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix}2\\1\end{pmatrix}", False),
        ("y = 2x+3", "y = 3 + 2x", True),
        (r"\frac \pi4", r"\pi/4", True),
        (r"6\pi", r"6 \pi \text{ cm}", True),
        (r"\sqrt3", r"\sqrt{3}.", True),
        ("8", "2^3", True),
        ("8", r"\sqrt{64}", True),
        ("8", "2^{4}", False),
        ("5", r"\pi", False),  # wrong, not unparsable: it is a number
        (r"(\text{E})", "(D)", False),
        (r"\infty", r"-\infty", False),
    ],
)
def test_verdicts_of_the_worker(gold, answer, right):
    assert verdict(gold, box(answer)) is (RIGHT if right else WRONG)


def test_votes_are_grouped_without_gold():
    same = MathJudge().same
    assert same("1,200", "1200.0") and same("0.5", r"\frac{1}{2}") and same("Monday", r"\text{Monday}")
    assert same(r"\frac{\sqrt{3}}{3}", r"\frac{1}{\sqrt{3}}")
    assert same("x<2", r"(-\infty,2)") and same(r"(-\infty,2)", "x<2")
    assert not same("5", "6") and not same("Monday", "Tuesday") and not same("5", "five")


def test_lenient_mode_reads_what_strict_mode_does_not():
    assert verdict("5", "The answer is 5.") is UNPARSABLE
    assert verdict("5", "The answer is 5.", MathJudge("lenient")) is RIGHT


def test_what_we_get_wrong_ourselves_raises():
    with pytest.raises(ConfigError, match="strict"):
        MathJudge("loose")
    with pytest.raises(ConfigError, match="time_limit_s"):
        MathJudge(time_limit_s=0)
    for gold in ("", "  ", r"so \boxed{5", "####"):
        with pytest.raises(DataError, match="marks no final answer"):
            verdict(gold, r"\boxed{5}")


def test_plain_numbers_import_no_computer_algebra_and_start_no_process():
    code = (
        "import sys, subprocess\n"
        "subprocess.Popen = None\n"
        "from rise.judges.math import MathJudge\n"
        "from rise.task import Problem\n"
        "assert MathJudge().judge(Problem('', '#### 1,200'), r'\\boxed{1200}').verdict == 'right'\n"
        "assert not {'sympy', 'math_verify', 'torch'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_symbolic_off_never_starts_a_worker(monkeypatch):
    monkeypatch.setattr(judging, "_verified", lambda *_: pytest.fail("a worker was asked"))
    assert verdict(r"2\sqrt{2}", box(r"\sqrt{8}"), MathJudge(symbolic=False)) is WRONG
    assert verdict(r"\sqrt{8}", box(r"\sqrt{8}"), MathJudge(symbolic=False)) is RIGHT
    assert verdict("8", box("2^3"), MathJudge(symbolic=False)) is RIGHT


def test_calculator_annotations_in_gold_are_never_evaluated(tmp_path):
    """rise-method §9, GSM8K: the reference calls eval on what stands in << >> of its data."""
    target = tmp_path / "executed"
    gold = f"It is <<__import__('os').mkdir({str(target)!r})=5>>5.\n#### 5"
    assert verdict(gold, r"\boxed{5}") is RIGHT and verdict(gold, r"\boxed{6}") is WRONG
    file = tmp_path / "test.jsonl"
    file.write_text(json.dumps({"question": "?", "answer": gold}) + "\n")
    (problem,) = make_task("gsm8k", path=file).problems("test")
    assert problem.solution == "It is 5.\nThe answer is \\boxed{5}." and not target.exists()


def test_no_gold_is_read_as_a_part_of_itself():
    """§9: 1,200 read as 1 on GSM8K, \\frac{\\sqrt{3}}{2} as \\frac{\\sqrt{3} on MATH. So with every comma and every depth."""
    for number in ("1,200", "12,345,678", "-1,000", "1,200.50", "$3,000"):
        part = number.split(",")[0]
        assert verdict(f"so\n#### {number}", box(part)) is not RIGHT
        assert verdict(f"so\n#### {number}", box(number.replace(",", ""))) is RIGHT
    for depth in range(1, 12):
        nested = "\\sqrt{" * depth + "3" + "}" * depth
        other = "\\sqrt{" * depth + "4" + "}" * depth
        gold = f"hence $\\boxed{{\\frac{{{nested}}}{{2}}}}$"
        as_text = MathJudge(symbolic=False)  # what is compared is what was read, with no algebra to mend it
        assert verdict(gold, box(f"\\frac{{{nested}}}{{2}}"), as_text) is RIGHT
        assert verdict(gold, box(f"\\frac{{{other}}}{{2}}"), as_text) is WRONG
        assert verdict(gold, box(f"\\frac{{{nested}"), as_text) is not RIGHT


@pytest.mark.parametrize(
    ("text", "big"),
    [("x^{2010}", False), (r"2^{2^{10}}", False), ("9^{9^{9^9}}", True), ("5!", False), ("9999999!", True), ("5!!", True)],
)
def test_caps(text, big):
    assert too_big(text) is big


@pytest.mark.parametrize(
    "piece",
    [
        "B)",
        "x=B)",
        "(B) ",
        "-",
        "!",
        "^x",
        "_x",
        "\\sqrt",
        "\\text{a} ",
        "1,",
        "x=",
        "1<",
        "a/",
        "sin ",
        "{",
        "|x",
        "cm ",
        "个",
        "√",
        "²",
        "0.(3)",
    ],
)
def test_a_thousand_characters_of_anything_are_read_at_once(piece):
    answer = piece * (1000 // len(piece))
    began = time.process_time()
    assert verdict("5", box(answer), MathJudge(symbolic=False)) is not RIGHT
    assert verdict(r"\sqrt{2}", f"the answer is {answer}", MathJudge("lenient", symbolic=False)) is not RIGHT
    assert time.process_time() - began < 3


LETTERS = "0123456789{}\\$%.,/-+^_= xab()[]!\x00\u202e−½×"


def gets_a_verdict(text):
    judge = MathJudge(symbolic=False)
    for reply in (text, f"\\boxed{{{text}}}"):
        judgement = judge.judge(Problem("", "5"), reply)
        assert (judgement.answer is not None) or judgement.verdict is UNPARSABLE
    judge.same(text, "5")


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32))
@pytest.mark.slow
def test_ten_thousand_strings_get_a_verdict(seed):
    for text in odd_texts(seed, 100, [LETTERS], 40):
        gets_a_verdict(text)


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(max_size=30), st.text(LETTERS, max_size=40)))
def test_so_do_those_that_hypothesis_looks_for(text):
    gets_a_verdict(text)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.lists(
        st.sampled_from([*r"0123456789x+-*/()[]{}^_,=", r"\frac", r"\sqrt", r"\pi", r"\text{a}", r"\{", r"\}", r"\cup"]),
        max_size=12,
    )
)
def test_formulas_of_any_shape_get_a_verdict(pieces):
    assert verdict(r"\sqrt{2}", box("".join(pieces)), MathJudge(time_limit_s=2.0)) in (RIGHT, WRONG, TIMED_OUT, UNPARSABLE)


@pytest.mark.parametrize(("name", "split", "share"), [("gsm8k", "test", 1), ("gsm8k", "train", 1), ("math", "test", 1)])
def test_every_gold_is_right_against_itself(name, split, share):
    if not (data_directory() / name / f"{split}.jsonl").is_file():
        pytest.skip("no benchmark data: set $RISE_DATA")
    task = make_task(name)
    judge = task.judge()
    wrong = [p.id for p in task.problems(split) if judge.judge(p, p.solution).verdict is not RIGHT]
    assert wrong == []
