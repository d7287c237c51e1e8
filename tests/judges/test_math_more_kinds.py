"""More kinds of answers that the judge once got wrong, each with others of its kind; worked out by hand."""

import pytest
from verdicts import RIGHT, UNPARSABLE, WRONG, box, verdict

from rise.judges.math import MathJudge
from rise.task import Problem

KINDS = {
    "a degree sign before a brace": (
        [
            ("72", r"\frac{360^\circ}{5}"),
            ("72", r"\frac{360^\circ}{5} = 72^\circ"),
            (r"100^\circ", r"\mathbf{100^\circ}"),
            (r"\frac{\sqrt3}{4}", r"\frac{\sin 60^\circ}{2}"),
            (r"\frac{1}{\sqrt3}", r"\tan{30^\circ}"),
            (r"\sec 20^\circ", r"\frac{1}{\cos 20^\circ}"),
            ("20", r"20^{\circ\text{C}}"),
            ("20", r"20^ \circ"),
        ],
        [("72", r"\frac{360^\circ}{4}"), (r"\sec 20^\circ", r"\frac{1}{\cos 25^\circ}")],
    ),
    "minutes and seconds are no functions": (
        [
            ("40", r"40\text{ min}"),
            (r"40\text{ min}", "40"),
            ("30", r"30\text{ sec}"),
            ("30", r"30\,\mathrm{sec}"),
            ("40", r"40\mbox{ min}"),
            ("30", r"x=30\text{ min}"),
            (r"2\pi", r"2\pi\text{ sec}"),
            ("30", r"30\text{ ft}/\text{sec}"),
            ("30", r"30\,\frac{\text{L}}{\text{min}}"),
            ("10", r"10\text{ m}/\text{sec}^2"),
            (r"2\sec x", r"2\text{sec} x"),
            (r"\sec^2 x", r"\text{sec}^2 x"),
            ("3", r"\text{min}(3,4)"),
        ],
        [("40", r"40\text{ min and }30\text{ sec}"), ("40", r"40\text{ min}, 30\text{ sec}"), ("2", r"2\text{sec} x")],
    ),
    "both signs within a set": (
        [
            (r"\{-1,0,1\}", r"\{0,\pm1\}"),
            ("1,-1,2,-2", r"\{\pm1,\pm2\}"),
            (r"\{-1,0,1\}", r"x\in\{0,\pm1\}"),
            ("1,-1,2,-2", r"\{\pm1\}\cup\{\pm2\}"),
            ("(1,2),(-1,2)", r"(\pm1,2)"),
        ],
        [(r"\{-1,1\}", r"\{0,\pm1\}"), ("1,2", r"\{\pm1,\pm2\}")],
    ),
    "opposites of one number": (
        [
            ("6", r"6\text{ AM}"),
            (r"6\text{ PM}", r"6\text{ p.m.}"),
            ("5", r"5\text{ miles north}"),
            (r"5\text{ miles north}", "5 mi north"),
            (r"500\text{ BC}", "500 BCE"),
        ],
        [
            (r"6\text{ PM}", r"6\text{ AM}"),
            ("6 p.m.", "6 a.m."),
            (r"500\text{ BC}", r"500\text{ AD}"),
            (r"5\text{ miles north}", r"5\text{ miles south}"),
            (r"5\text{ miles north}", r"5\text{ miles northeast}"),
            (r"5\text{ units left}", r"5\text{ units right}"),
            (r"5\sqrt2\text{ miles north}", r"5\sqrt2\text{ miles east}"),
        ],
    ),
    "a choice and no more": (
        [("C", "(C) 5"), ("C", "(C) blue"), ("B", r"\text{B. }12"), ("12", r"\text{B. }12"), ("(B)", r"\text{B:}")],
        [
            ("C", "(C), D"),
            (r"\text{(B)}", "(B), 5"),
            ("C", "(C); D"),
            ("C", r"\text{C: D}"),
            ("D", r"\text{C: D}"),
            ("C", "(C) D"),
            ("D", r"(C) \text{D}"),
            ("13", r"\text{B. }12"),
        ],
    ),
    "a list as a union": (
        [
            (r"(1,3)\cup(4,6)", "(1,3),(4,6)"),
            (r"(1,3)\cup(4,6)", r"\{(1,3)\cup(4,6)\}"),
            (r"(1,3)\cup(4,6)\cup(7,9)", r"(1,3),(4,6)\cup(7,9)"),
            (r"\{1,2\}", r"\{1\}\cup\{2\}"),
            (r"(1,3)\cup\{5\}", r"\{5\}\cup(1,3)"),
            (r"(-\infty,2)\cup(5,\infty)", "x<2, x>5"),
        ],
        [
            (r"(1,3)\cup(4,6)", r"(1,3)\cup(4,6), 2"),
            (r"(1,3)\cup(4,6)", r"(1,3)\cup(4,6), (1,2)"),
            (r"(1,3)\cup(4,6)", "(1,3),(4,6),(1,2)"),
            (r"(1,\sqrt2)\cup\{5\}", r"(1,\sqrt2), 5"),
        ],
    ),
    "quantities that are no plain names": (
        [
            ("12", "|z|=12"),
            ("12", r"\|v\|=12"),
            ("12", r"\lVert v\rVert=12"),
            ("12", r"\det A=12"),
            ("12", r"\text{Area}_{ABC}=12"),
            (r"\frac12", r"\sin\theta=\frac12"),
            (r"\frac12", r"\cos A=\frac12"),
            (r"\frac12", r"P(X=3)=\frac12"),
            (r"\frac12", r"P(A)=P(B)=\frac12"),
            (r"\frac12", r"\text{slope}=m=\frac12"),
            ("12", "x=12=y"),
            (r"2\sin\theta=1", r"\sin\theta=\frac12"),
            (r"\sin\theta=\frac12", r"\sin(\theta)=\frac12"),
        ],
        [
            (r"\sin A=\frac12", r"\cos A=\frac12"),
            (r"P(X=3)=\frac12", r"P(X=2)=\frac12"),
            (r"x=\frac12", r"\sin\theta=\frac12"),
            ("|z|=5", "|w|=5"),
            ("5", "2x=5"),
            ("5", "|x|=5"),
            ("5", "m+n=5"),
            ("5", "x=6=y"),
            (r"\frac12", r"\sin x=\frac12"),
        ],
    ),
    "roots with indices": (
        [("2,-5", "x_1=2, x_2=-5"), (r"\{-5,2\}", r"x_{1}=2\text{ and }x_{2}=-5"), ("x_1=2,x_2=5", "x_2=5,x_1=2")],
        [
            ("x_1=2,x_2=5", "x_1=5,x_2=2"),
            ("x_1=5", "x_2=5"),
            ("3,4", "x=3,y=4"),
            ("2,-5", "x_1=2,y_2=-5"),
            ("2", "x_1=2,x_2=5"),
        ],
    ),
    "bases in other ways": (
        [
            ("52_{12}", "52_12"),
            ("2A7_{12}", "2A7_12"),
            ("44_5", r"44_{\text{Five}}"),
            ("52_8", "[52]_8"),
            ("1101_2", r"1101_{\text{bin}}"),
        ],
        [("52_{12}", "52_13"), ("x_12", "x_1"), ("52_8", r"52_{\text{hex}}")],
    ),
    "distances with fractions": (
        [
            ("(-2,3)", r"\left|x-\frac12\right|<\frac52"),
            ("(-3,2)", r"|x+\frac{1}{2}|<\frac52"),
            (r"(-\infty,-\sqrt2)\cup(\sqrt2,\infty)", r"|x|>\sqrt2"),
            (r"[-2\sqrt3,2\sqrt3]", r"|x|\le2\sqrt3"),
        ],
        [
            ("(-2,3)", r"|x+\frac12|<\frac52"),
            ("(-2,3)", r"|x-\frac{a}{2}|<\frac52"),
            ("(-2,3)", "|2x-1|<5"),  # left to solve, as x^2 < 9 is: the question as the answer
            ("(-3,3)", "x^2<9"),
            (r"(-\sqrt2,\sqrt2)", r"|x|\le\sqrt2"),
        ],
    ),
    "other ways of saying it": (
        [
            ("(3,4)", r"\text{The answer is }(3,4)"),
            (r"(-\infty,2)\cup(2,\infty)", r"\text{All real numbers except }2"),
            (r"(-\infty,2)\cup(2,3)\cup(3,\infty)", "all real numbers except 2 and 3"),
            (r"(-2,1)\cup(3,5)", "(-2,1)U(3,5)"),
            ("[-1,4)", "[-1,4["),
            (r"(3,\infty)", r"]3,\infty["),
            (r"(1,2)\cup[3,4)", r"]1,2[\cup[3,4["),
            (r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", r"\begin{pmatrix} 1 & 2 \\ \hline 3 & 4 \end{pmatrix}"),
            ("48", "48 US dollars"),
            ("48", "48 a day"),
            ("48", "48 dollars an hour"),
            ("48", r"48\text{ day(s)}"),
            (r"\cos s", r"\cos(s)"),
            ("y/2", r"\frac y2"),
            (r"\frac{x}{y}", r"\frac x y"),
            (r"2\sqrt{x}", r"2\sqrt x"),
            ("x+1", r"x+1, x\ne1"),
            ("x+1", r"x+1\text{ for }x\neq1"),
            ("x=2y+1", r"y=\frac{x-1}{2}"),
        ],
        [
            (r"(-\infty,2)\cup(2,\infty)", r"\text{All real numbers except }3"),
            ("[-1,4]", "[-1,4["),
            ("[-1,4)", "]-1,4["),
            (r"(-2,1)\cup(3,5)", "(-2,1)U(3,6)"),
            ("5", r"5, x\ne1"),
            ("x+1", r"x+2, x\ne1"),
            ("x+1", "x+1, x=1"),
            ("x=2y+1", "y=2x+1"),
        ],
    ),
    "bounds, roots and digits without end": (
        [
            (r"\frac13", "0.333..."),
            (r"\frac16", r"0.1666\ldots"),
            (r"\frac{3}{11}", "0.2727…"),
            ("1", "0.999..."),
            ("2", "2.00..."),
            (r"\sqrt2", "1.41421356..."),
            ("5", "5th"),
            ("5", r"5\text{ real roots}"),
            (r"\csc 10^\circ", r"\csc{10^{\circ}}"),
            ("30", r"30^\circ"),
        ],
        [
            ("0.333", "0.333..."),
            ("0.25", "0.25..."),
            ("5", r"5\text{ at most}"),
            ("5", r"5\text{ maximum}"),
            ("5", "5 at least"),
            ("5", r"5\text{th root}"),
            ("5", "5th power"),
            (r"\csc 10", r"\csc 10^\circ"),
            (r"\sin 30", r"\sin 30^\circ"),
        ],
    ),
}
"""By kind of fault: (gold, answer) that are equal, and (gold, answer) that are not."""


@pytest.mark.parametrize("kind", KINDS)
def test_more_kinds_are_judged_as_by_hand_and_votes_agree(kind):
    right, wrong = KINDS[kind]
    same = MathJudge().same
    for pairs, expected in ((right, RIGHT), (wrong, WRONG)):
        for gold, answer in pairs:
            assert verdict(gold, box(answer)) is expected, (gold, answer)
            assert same(gold, answer) is same(answer, gold) is (expected is RIGHT), (gold, answer)
            assert verdict(answer, box(gold)) is expected or verdict(answer, box(gold)) is UNPARSABLE, (gold, answer)


@pytest.mark.parametrize(
    ("question", "gold", "answer", "expected"),
    [
        ("Find $m+n$.", "12", "m+n=12", RIGHT),
        ("Find $m+n$.", "12", "m + n = 5 + 7 = 12", RIGHT),
        ("Find $m+n$.", "12", "m+n=13", WRONG),
        (r"What is \(xy\)?", "12", "xy=12", RIGHT),
        (r"Find the ratio $\frac{AB}{CD}$.", r"\frac12", r"\frac{AB}{CD}=\frac12", RIGHT),
        ("Let $m+n=7$. Find $m$.", "12", "m+n=12", WRONG),
        ("Solve $2x = 10$.", "10", "2x=10", WRONG),
        ("Find $m-n$.", "12", "m+n=12", WRONG),
    ],
)
def test_what_the_question_asks_for_is_a_name(question, gold, answer, expected):
    assert MathJudge().judge(Problem(question, gold), box(answer)).verdict is expected


def test_a_number_that_is_known_is_not_worked_out_again():
    r"""\binom{19999}{9999} has 6,000 digits; its factors multiplied as floats of as many took 14 seconds."""
    assert verdict(r"\sqrt{2}", box(r"\binom{19999}{9999}"), MathJudge(time_limit_s=3.0)) is WRONG
