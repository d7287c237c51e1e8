r"""What lenient mode reads of a sentence, and what of thinking and headings: replies worked out by hand."""

import json
from pathlib import Path

import pytest
from verdicts import RIGHT, UNPARSABLE, WRONG, verdict

from rise.judges.math import MathJudge

LENIENT = [
    ("5", "The answer is $5$ or $6$.", WRONG),
    ("5", "The answer is 5 apples.", RIGHT),
    ("5", "The answer is approximately 5.", RIGHT),
    ("5", "The answer is 5, because 2+3=5.", RIGHT),
    ("5", "The answer is 5 (five).", RIGHT),
    ("5", "答案是 5x+3。", WRONG),
    ("7", "答え：7", RIGHT),
    ("42", "Ответ: 42", RIGHT),
    ("1/2", r"The answer is $\frac{1}{2}$.", RIGHT),
    ("12", "The answer is 3*4.", RIGHT),
    ("3", "The answer is 3*4.", WRONG),
    ("2", "The answer is 2 to 5.", WRONG),
    ("5", "The answer is 5 and 6.", WRONG),
    ("5", "The answer is either 5 or 6.", WRONG),
    ("5", "The answer is 5 - 2.", WRONG),
    ("x=5", "The answer is x = 5.", RIGHT),
    ("5", "x is 5 or 6", WRONG),
    ("-3", "from 5 to -3", RIGHT),
    ("5", "The answer is not 5.", WRONG),
    ("5", "I think the answer is 5 dollars and 6 cents.", WRONG),
    ("1234", "The answer is 1,234.", RIGHT),
    ("1", "The answer is 1,234.", WRONG),
    ("0.5", "The answer is .5.", RIGHT),
    ("5", "Answer: 5^2", WRONG),
]


@pytest.mark.parametrize(("gold", "reply", "expected"), LENIENT)
def test_lenient_mode_reads_the_whole_answer(gold, reply, expected):
    assert verdict(gold, reply, MathJudge("lenient")) is expected


PIECES = [
    # of a formula
    ("5", r"So the probability is $\frac{3}{5}$.", WRONG),
    (r"\frac{3}{5}", r"So the probability is $\frac{3}{5}$.", RIGHT),
    ("5", r"So the probability is \(\frac{3}{5}\).", WRONG),
    ("5", r"Hence x = \sqrt{5}.", WRONG),
    (r"\sqrt{5}", r"Hence x = \sqrt{5}.", RIGHT),
    ("5", "It is 2√5.", WRONG),
    ("5", "It is log 5.", UNPARSABLE),
    ("5", "We get $x^{5}$.", WRONG),
    ("5", "So x = 5!", UNPARSABLE),
    ("5", "It is n mod 5.", UNPARSABLE),
    ("5", "Hence 2x = 5.", UNPARSABLE),
    ("5", "We have 3 apples. The area is 2x_5.", UNPARSABLE),
    # of a range
    ("7", "It lies between 5 and 7.", WRONG),
    ("7", "5 to 7", WRONG),
    ("7", "5-7", UNPARSABLE),
    ("36", "x > 36", UNPARSABLE),
    ("36", "So 12 < x < 36.", UNPARSABLE),
    ("36", "It is at least 36.", UNPARSABLE),
    ("36", "It is less than 36.", UNPARSABLE),
    ("36", "36 or more", UNPARSABLE),
    # of a list
    ("3", "x=2,y=3", WRONG),
    ("5", "So it is (2, 5).", WRONG),
    ("(2,5)", "So it is (2, 5).", RIGHT),
    ("5", "2 and 5", WRONG),
    ("2", "Hence $x=1$ and $x=2$.", WRONG),
    # of a number in words
    ("5", "It costs 5 million dollars.", WRONG),
    ("5000000", "It costs 5 million dollars.", RIGHT),
    # the formula at the end of a chain, of rows
    ("18", r"The area is $$\frac{1}{2}bh = \frac{1}{2}(9)(4) = 18.$$", RIGHT),
    ("4", "\\begin{align*} 16k&=64\\\\ k&=4. \\end{align*}", RIGHT),
]
WHOLE = [
    ("36", "The answer is clearly 36."),
    ("(3,4)", "The answer is the point (3,4)."),
    ("7", "So she has 7 left."),
    ("7", "So the total is **7** apples."),
    ("7", "Thus $x = 7$."),
    ("7", "3 x 4 - 5 = 7 apples"),
    ("120", "The weight is 40 kg + 80 kg = 120 kg."),
    ("12", "There are 12 values of $x$."),
    ("12", "She pays $5 and then $12."),
    ("12", "The area is 12 cm^2."),
    ("8", "We get $8$ possible pairs $(z_1,z_2)$."),
    ("480", "They solved 320+160 = 480 math problems."),
    ("26", "$0, 3, 8,$ and these add up to 26."),
    (r"\pi", r"The area is $\pi$."),
]


@pytest.mark.parametrize(("gold", "reply", "expected"), PIECES)
def test_no_number_is_torn_out_of_what_is_said(gold, reply, expected):
    assert verdict(gold, reply, MathJudge("lenient")) is expected


@pytest.mark.parametrize(("gold", "reply"), WHOLE)
def test_numbers_in_sentences_are_read_still(gold, reply):
    assert verdict(gold, reply, MathJudge("lenient")) is RIGHT


def test_the_end_of_a_formula_is_no_number():
    assert verdict("3", "So we get 5x + 3.", MathJudge("lenient")) is not RIGHT
    assert verdict("5", "So we get 5x + 3.", MathJudge("lenient")) is not RIGHT


MARKED = [
    ("42", "#### **42**", RIGHT),
    ("42", "####42", RIGHT),
    ("42", "#### Final Answer\n42", RIGHT),
    ("42", "#### Answer\n\n42", RIGHT),
    ("42", "#### 42\n#### Explanation\n40+2", RIGHT),
    ("42", "#### The answer is 42", RIGHT),
    ("42", "#### So, 42", RIGHT),
    ("42", "#### 1) 42", RIGHT),
    ("1", "#### 1) 42", WRONG),
    ("42", "#### Step 3: 40+2=42", UNPARSABLE),
    ("42", "#### 3. Add 40 and 2\nwe get 42", UNPARSABLE),
    ("42", "#### Solution\n40+2 = 42.", UNPARSABLE),
    ("4", "####: 4", RIGHT),
    ("Monday", "#### Monday", RIGHT),
    ("42", "##### 42", RIGHT),
    ("42", "#### $42", RIGHT),
    ("42", "#### x = 42", RIGHT),
    ("42", "<think>a</think><think>b", UNPARSABLE),
    ("42", "<think>#### 41</think>\n#### 42", RIGHT),
    ("42", r"thinking \boxed{41} </think>\boxed{42}", RIGHT),
    ("42", r"\boxed{42}<think>", UNPARSABLE),
    ("42", r"[THINK]\boxed{41}[/THINK]\boxed{42}", RIGHT),
    ("42", r"<thinking>\boxed{42}</thinking>", UNPARSABLE),
    ("5", "#### -", UNPARSABLE),
    ("5", r"\boxed{?}", UNPARSABLE),
    ("42", "#### Verification\n#### 42", RIGHT),
    ("8", r"<think>x<think>y</think> \boxed{8}", RIGHT),
]


@pytest.mark.parametrize(("gold", "reply", "expected"), MARKED)
def test_thinking_and_headings_are_no_answers(gold, reply, expected):
    assert verdict(gold, reply) is expected


def test_more_replies_worked_out_by_hand():
    """Thinking in the tags of a dozen families, headings, sentences in ten languages, boxes of every shape."""
    file = Path(__file__).parents[1] / "fixtures" / "judge-replies.jsonl"
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    judges = {mode: MathJudge(mode) for mode in ("strict", "lenient")}
    assert [row for row in rows if verdict(row["gold"], row["reply"], judges[row["mode"]]) != row["verdict"]] == []
