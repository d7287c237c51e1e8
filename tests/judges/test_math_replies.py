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
