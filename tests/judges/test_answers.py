r"""What is read out of a reply, and what out of an answer. Expected values are worked by hand."""

import time
from fractions import Fraction as F

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from odd_texts import odd_texts

from rise.judges.answers import extract
from rise.judges.numbers import MAX_EXPONENT, MAX_NUMBER_CHARS, number, read_number, same_number


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (r"so \boxed{72}.", "72"),
        (r"\boxed{3}, no, \boxed{4}", "4"),  # the last one
        (r"\fbox{5}", "5"),  # OpenRLHF#1285, slime#2150
        (r"\boxed{5} or \fbox{6}", "6"),
        (r"\boxed{\frac{\sqrt{3}}{2}}", r"\frac{\sqrt{3}}{2}"),  # the reference regex stops at the second level
        (r"\boxed{\boxed{5}}", "5"),  # slime#543: a box stripped twice
        (r"\boxed{\boxed{3} + \boxed{4}}", r"\boxed{3} + \boxed{4}"),
        (r"\boxed{\fbox{3} + 4}", r"\fbox{3} + 4"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),  # escaped braces are text
        (r"\boxed{\left\{ x \right.}", r"\left\{ x \right."),
        (r"\boxed{\text{two } \boxed{2}}", r"\text{two } \boxed{2}"),  # the outer box is the answer
        (r"\boxed {7}", "7"),
        (r"\boxed 3$", "3"),  # as TeX reads it; unsupported by the reference
        (r"\boxed3.", "3"),
        (r"\\boxed{5}", "5"),  # a model that saw JSON
        ("\\boxed{\n 5 \n}", "5"),
        (r"{ \boxed{5}", "5"),
        (r"} \boxed{5}}", "5"),
        (r"\boxed{a} \boxed{ 12", None),  # marin#9163: a box cut off is not replaced by an earlier one
        (r"\boxed{ 12 and then \boxed{5}", "5"),  # the last box is whole
        (r"\boxed{}", None),
        (r"\boxed{5} then \boxed{}", None),
        (r"\boxed{ }", None),
        (r"put it in \boxed", None),
        (r"\boxedtext{5}", None),
        ("2+2=4\n#### 4", "4"),
        ("####23596", "23596"),
        ("#### 1\n#### 2\nmore", "2"),
        ("####\n5", "5"),  # below its mark
        (r"#### 4 or \boxed{5}", "5"),  # a box goes before ####
        (r"\boxed{5} #### 4", "5"),
        ("The answer is 4.", None),  # verifiers#1028: a bare number gets no reward in strict mode
        ("4", None),
        ("", None),
    ],
)
def test_strict_extraction(reply, answer):
    assert extract(reply) == answer


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (r"\boxed{72} and later 5", "72"),
        ("#### 72\nbye 5", "72"),
        ("The answer is 4.", "4"),
        ("The answer is 4.5.", "4.5"),
        ("The answer is: **$1,200**", "$1,200"),
        ("Answer: 12 apples\nThanks 3", "12 apples"),
        ("the answer is 4. No, the answer is 5, since 2+3", "5"),
        (r"The answer is $\frac{x}{2}$, as above", r"\frac{x}{2}"),
        ("First 3, then 7 apples are left.", "7"),
        ("It costs $1,200.50!", "$1,200.50"),
        ("from 5 to -3", "-3"),
        (r"\boxed{3} so \boxed{42", "42"),  # looks on, but never before the broken box
        (r"\boxed{3} so \boxed{", None),
        ("####\nso 5", "5"),
        ("no number", None),
    ],
)
def test_lenient_extraction(reply, answer):
    assert extract(reply, mode="lenient") == answer


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("18", 18),
        ("+5", 5),
        ("-5", -5),
        ("− 5", -5),  # unicode minus
        ("0042", 42),
        ("18.0", 18),
        ("18.", 18),
        (".5", F(1, 2)),
        ("0.50", F(1, 2)),
        ("1,234,567", 1234567),
        ("1{,}000", 1000),
        (r"1\,234", 1234),
        ("1 234", 1234),
        ("1,200.5", F(2401, 2)),
        ("$18", 18),
        (r"\$18.00", 18),
        ("-$5", -5),
        ("$-5", -5),
        ("€5", 5),
        ("US$5", 5),
        ("$5$", 5),
        (r"\(5\)", 5),
        ("$$5$$", 5),
        ("**5**", 5),
        ("(5)", 5),
        (r"\left( 5 \right)", 5),
        (r"\!5\!", 5),
        ("18%", 18),
        (r"18\%", 18),
        ("18 percent", 18),
        ("3/4", F(3, 4)),
        ("-3/4", F(-3, 4)),
        ("1,000/3", F(1000, 3)),
        (r"\frac{3}{4}", F(3, 4)),
        (r"\frac34", F(3, 4)),
        (r"\dfrac{-3}{4}", F(-3, 4)),
        (r"-\tfrac{1.5}{2}", F(-3, 4)),
        (r"1\frac{3}{4}", F(7, 4)),
        ("1 3/4", F(7, 4)),
        ("-1 3/4", F(-7, 4)),
        ("1 and 3/4", F(7, 4)),
        ("1½", F(3, 2)),
        ("13/4", F(13, 4)),
        ("2.5e3", 2500),
        ("1.5E-3", F(3, 2000)),
        (r"1.5 \times 10^{3}", 1500),
        ("3 × 10^8", 300000000),
        ("10^6", 1000000),
        ("5 million", 5000000),
        ("18 apples", 18),
        ("18 dollars per hour", 18),
        (r"18\text{ cm}^2", 18),
        (r"18 \text{ m}", 18),
        (r"\text{18}", 18),
        ("6cm", 6),
        (r"90^\circ", 90),
        (r"90^{\circ}", 90),
        ("90°", 90),
        ("90 degrees", 90),
        ("x = 5", 5),
        (r"3 \times 4 = 12", 12),
        ("１２", 12),  # full width
        ("1\u200b2", 12),  # zero width
        ("\u202e12", 12),  # right to left override: read as written, not as shown
    ],
)
def test_one_number_is_read_exactly(text, value):
    assert number(text) == value


@pytest.mark.parametrize(
    "text",
    [
        *["", " ", "-", ".", "$", "%", "five", r"\text{Monday}", "inf", "nan", "1_000", "0x10", "--5", "1.5.2"],
        *["3 or 4", r"3 \text{ or } 4", "12, 345", "1,2,3", "1,23", "(1,2)", "3:4", "4:30", "5-3", "5+3", "5 to 6"],
        *["2x", "5x", "6abc", "2 pi", r"2\pi", "3i", "2^{10}", "5²", "5^2", r"\sqrt{2}", "1011_2", r"\{5\}"],
        *["1/0", r"\frac{1}{0}", r"1\frac{5}{3}", "x=5 or x=6", "x=5, y=6", "5=6", "8 hours 30 minutes", "Step 2: go on"],
        *["1e1001", "1e-1001", "1e99999999999", "10^{99999}", "7" * (MAX_NUMBER_CHARS + 1), "1\x002", "12\x1b"],
    ],
)
def test_anything_else_is_no_number(text):
    assert number(text) is None


def test_caps_are_inclusive():
    assert number(f"1e{MAX_EXPONENT}") == 10**MAX_EXPONENT
    assert number("7" * MAX_NUMBER_CHARS) == int("7" * MAX_NUMBER_CHARS)


def test_fifty_percent_is_fifty_and_one_half_but_plain_fifty_is_not_one_half():
    percent, fifty, half = (read_number(text) for text in ("50%", "50", "0.5"))
    assert same_number(percent, fifty) and same_number(half, percent) and same_number(percent, percent)
    assert not same_number(fifty, half)


@pytest.mark.parametrize(
    "reply",
    [
        "\\boxed{" * 150_000,
        "\\boxed{" + "{" * 10**6,
        "\\boxed{" + "}" * 10**6,
        "\\boxed{5}" * 110_000,
        "\\boxed{" + "{}" * 500_000 + "}",
        "\\" * 10**6,
        "\\boxed" * 160_000,
        "#" * 10**6,
        "answer is " * 100_000,
        "7" * 10**6,
        "1," * 500_000,
        "1.1" * 300_000,
        "\\boxed" + " " * 10**6 + "{5}",
        "\\[" * 500_000,
        "\\(1" * 330_000,
        "=$x$" * 250_000,
        "\\begin{align}1" * 66_000,
        "**1" * 330_000,
        "1+" * 500_000 + "=1",
    ],
    ids=lambda reply: repr(reply[:12]),
)
@pytest.mark.parametrize("mode", ["strict", "lenient"])
def test_a_megabyte_of_anything_is_read_in_linear_time(reply, mode):
    began = time.process_time()
    answer = extract(reply, mode)
    if answer is not None:
        number(answer)
    assert time.process_time() - began < 3


LETTERS = "0123456789{}\\$%.,/-+^_= #\nabdefboxrcst()\x00\u202e−½×"
PIECES = [
    r"\boxed{",
    r"\fbox{",
    "}",
    "{",
    "####",
    "\n",
    "5",
    ",",
    ".",
    "/",
    r"\frac",
    "e9",
    "^",
    r"\text{",
    "$",
    "%",
    " ",
    "-",
    "½",
    "=",
]


def reading_holds(text):
    for mode in ("strict", "lenient"):
        answer = extract(text, mode)
        assert answer is None or (answer and answer == answer.strip())
    assert number(text) is None or isinstance(number(text), F)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_no_text_makes_reading_fail(seed):
    for text in odd_texts(seed, 200, [LETTERS, PIECES], 50):
        reading_holds(text)


@settings(max_examples=400, deadline=None)
@given(
    st.one_of(st.text(LETTERS, max_size=60), st.lists(st.sampled_from(PIECES), max_size=30).map("".join), st.text(max_size=40))
)
def test_nor_does_one_that_hypothesis_looks_for(text):
    reading_holds(text)


@settings(max_examples=300, deadline=None)
@given(
    st.integers(-(10**15), 10**15),
    st.sampled_from(["{}", "{:,}", "{}.0", "${}$", "  {} ", "{} apples", r"{:,}\text{{ cm}}", "{}."]),
)
def test_an_integer_survives_every_way_of_writing_it(value, form):
    assert number(form.format(value)) == value


@settings(max_examples=300, deadline=None)
@given(st.recursive(st.text("ab ", max_size=3), lambda inner: st.lists(inner, max_size=3).map(lambda p: "{" + "".join(p) + "}")))
def test_a_balanced_box_gives_back_its_content(content):
    assert extract(f"x \\boxed{{{content}}} y") == (content.strip() or None)
