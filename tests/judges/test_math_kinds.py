"""Kinds of answers that judges get wrong, others of the same kinds; and the file of cases, where it lies."""

import json
from pathlib import Path

import pytest
from verdicts import RIGHT, UNPARSABLE, WRONG, box, verdict

from rise.judges import make_judge
from rise.judges.math import MathJudge
from rise.task import Problem
from rise.tasks.sources import data_directory

KINDS = {
    "the base of a numeral": (
        [
            ("63_8", "63₈"),
            ("63_8", "(63)_{eight}"),
            ("63_8", "63 base 8"),
            ("-221_3", "-221_{3}"),
            (r"\text{A5}_{11}", "A5_{11}"),
            ("10001_2", r"10001_{\text{two}}"),
            ("10001_2", "10001"),
            ("0.101_2", "0.101_{2}"),
            ("1,000_2", "1000_2"),
            ("63", "63_8"),
        ],
        [
            ("63_8", "63_7"),
            ("63_8", r"63_{\text{nine}}"),
            ("63_8", "64"),
            ("63_8", "51"),
            ("-221_3", "221_3"),
            (r"\text{A5}_{11}", "A5_{12}"),
            ("10001_2", "17"),
        ],
    ),
    "small and large numbers": (
        [
            (r"\frac{2^{100}+1}{2^{100}}", "1+2^{-100}"),
            ("3^{2004}", "9^{1002}"),
            (r"\frac{1}{2^{10}}", r"\frac{1}{1024}"),
            (r"\binom{100}{49}", r"\binom{100}{51}"),
        ],
        [
            (r"\frac{1}{20!}", r"\frac{1}{21!}"),
            (r"\frac{2^{100}+1}{2^{100}}", r"\frac{1}{2^{100}}"),
            ("3^{2004}", "3^{2005}"),
            ("10^{100}", "10^{101}"),
            ("1e-30", "2e-30"),
            ("100!", "100!+1"),
            (r"\binom{100}{50}", r"\binom{100}{51}"),
            (r"\sqrt{2}+2^{-200}", r"\sqrt{2}"),
            ("e^{-500}+1", "1"),
            (r"\sqrt{2}\cdot 10^{-30}", "0"),
            ("9^{9^9}", "9^{9^8}"),
            ("2^{100000}", "2^{100001}"),
            (r"\frac{1}{3^{50}\sqrt2}", r"\frac{1}{3^{51}\sqrt2}"),
        ],
    ),
    "a last letter is a name": (
        [],
        [
            ("7m", "7"),
            ("3s", "3"),
            ("12g", "12"),
            ("3x", "3"),
            ("8h", "8"),
            ("5L", "5"),
            (r"2\pi r", r"2\pi"),
            ("x^2 m", "x^2"),
            ("10d", "10"),
            ("10 d", "10"),
            ("4 t", "4"),
            ("m", "1"),
        ],
    ),
    "units are units": (
        [
            ("5", "5 m/s"),
            ("4", "4 km/h"),
            ("9.8", r"9.8\ \mathrm{m/s^2}"),
            ("9.8", "9.8 m/s^2"),
            ("5", "5 cm"),
            ("12", "12 square units"),
            ("12", r"12\text{ cm}^2"),
            ("12", "12 cm^2"),
            ("12", r"12~\text{cm}^{2}"),
            ("30", "30 mph"),
            ("5", "5 L/min"),
            ("70", "70 kg"),
            ("3.5", "3.5 g/cm^3"),
            (r"6\pi", r"6\pi\text{ cm}^2"),
            (r"6\pi", r"6\pi cm"),
            (r"5\sqrt{2}", r"5\sqrt{2} m/s"),
            ("20", "20 °C"),
            ("20", r"20^\circ\text{C}"),
            ("1000", "￥1000"),
            ("42", "42 元"),
            ("30000", "3万"),
            ("15", "15 евро"),
            ("5", "$5 per hour"),
            ("8", "8 hours"),
        ],
        [("3", "3万"), ("10", "10 more")],
    ),
    "letters keep their case": (
        [("Rr", "rR"), ("Monday", "MONDAY"), ("Even", "even")],
        [("R", "r"), ("AB", "ab"), ("ABC", "abc"), ("T-t", "0"), ("X^2", "x^2")],
    ),
    "lists in any order": (
        [
            ("1,2", r"\{2, 1\}"),
            ("1331 and 1728", "1728, 1331"),
            ("1,234", "1234"),
            ("3, 5", r"x=3 \text{ or } x=5"),
            ("3, 5", "x=5, 3"),
            ("-2,2", "2, -2"),
            ("-2,2", r"\pm 2"),
            (r"1+\sqrt2, 1-\sqrt2", r"1 \pm \sqrt{2}"),
            (r"\frac12, \frac13", r"\frac13 \text{ and } \frac12"),
            ("A,B", "B, A"),
            ("1; 2", "2; 1"),
            ("x=1, y=2", "y=2, x=1"),
            ("(1,2),(3,4)", "(3,4), (1,2)"),
            ("(6,100)", "(6, 100)"),
        ],
        [
            ("1,2,2", "1,2"),
            ("1,2", "1,2,2"),
            ("1,234", "1,235"),
            ("1,234", "234, 1"),
            ("1,2", "[1,2]"),
            ("x=1,y=2", "x=2,y=1"),
            ("(1,2),(3,4)", "(2,1),(3,4)"),
            ("1,2", "12"),
            ("1 2", "12"),
        ],
    ),
    "pairs in their order": (
        [("(1,2)", r"\langle 1,2\rangle"), ("(x,y)=(1,2)", "(1,2)"), (r"(\frac12, 0.5)", r"(0.5, \frac{1}{2})")],
        [("(1,2,3)", "(1,3,2)"), ("(1,2)", "1,2"), ("(1,2)", "[1,2]"), ("(1,2)", "(1,2]")],
    ),
    "intervals and inequalities": (
        [
            (r"(2,\infty)", "y>2"),
            ("x>2", "2<x"),
            (r"x\ge2", r"[2,\infty)"),
            ("(1,2)", "1<x<2"),
            ("(1,2)", "2>x>1"),
            ("(1,2]", r"x\in(1,2]"),
            (r"(-\infty,1)\cup(1,\infty)", r"x\ne 1"),
            (r"(-\infty,1)\cup(1,\infty)", r"\mathbb{R}\setminus\{1\}"),
            (r"(-\infty,\infty)", r"\mathbb{R}"),
            ("x>2", "2x>4"),
            (r"(-\infty,2]\cup[5,\infty)", r"x\le 2 or x \ge 5"),
            ("(2,5)", "x>2 and x<5"),
            ("(2,5)", "2<x, x<5"),
            (r"[\sqrt2,3)", r"\sqrt{2} \le x < 3"),
            (r"(-1,1)\cup[3,\infty)", r"[3,\infty)\cup(-1,1)"),
            (r"-\infty < x < 3", "x<3"),
        ],
        [
            ("x>2", "y>2"),
            (r"x \le 2", r"(-\infty,2)"),
            ("(1,2)", r"1<x\le 2"),
            ("1,2", "1<x<2"),
            ("x>2", "2x>5"),
            ("x<-2", "x>2"),
        ],
    ),
    "matrices and big brackets": (
        [
            (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix} 1 \\[2ex] 2 \end{pmatrix}"),
            (r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", r"\begin{bmatrix} 1 & 2 \\ 3 & 4 \end{bmatrix}"),
            (r"\begin{pmatrix} 1/2 & 1 \\ 3/2 & 2 \end{pmatrix}", r"\frac{1}{2}\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}"),
            (
                r"\begin{pmatrix} \sqrt{8} & 0\\0&1 \end{pmatrix}",
                r"\left[\begin{array}{cc} 2\sqrt2 & 0 \\ 0 & 1\end{array}\right]",
            ),
            ("[1,2]", r"\bigl[1,2\bigr]"),
            (r"\frac{x}{2}", r"\biggl(\frac{x}{2}\biggr)"),
        ],
        [
            (r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", r"\begin{pmatrix} 1 & 3 \\ 2 & 4 \end{pmatrix}"),
            (r"\begin{pmatrix} 1 & 2 \end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
        ],
    ),
    "spacing and Unicode": (
        [
            ("x^2-1", "x² − 1"),
            (r"3\pi", "3π"),
            (r"2\sqrt[3]{5}", "2∛5"),
            (r"\frac{1}{2}", "½"),
            (r"x \le 3", "x≤3"),
            (r"2\alpha", "2α"),
            ("x^{10}", "x¹⁰"),
            (r"\sqrt{12}", "√12"),
            (r"3\cdot x", "3×x"),
            ("x+1", "x\u2009+\u20091"),
            ("-5", "－５"),
            ("(1,2)", "（1，2）"),
            ("x+1", r"x\,+\,1"),
            ("x+1", r"x\quad+\enspace 1"),
            ("12", r"\,12\!"),
        ],
        [],
    ),
    "complex numbers": (
        [
            ("6+9i", "9i+6"),
            ("2i", "i2"),
            ("-1", "i^2"),
            ("3-2i", r"3-2\mathrm{i}"),
            (r"\frac{1}{1+i}", r"\frac{1-i}{2}"),
            (r"\frac{1}{2}+\frac{\sqrt3}{2}i", r"e^{i\pi/3}"),
            ("(1+2i)(1-2i)", "5"),
        ],
        [("1+i", "1-i"), ("i", "-i"), ("5i", "5"), ("6+9i", "6+9")],
    ),
    "other spellings": (
        [
            ("5", r"\color{red}{5}"),
            ("5", r"{\color{blue}5}"),
            ("5", r"\large 5"),
            ("5", r"{\Large 5}"),
            ("4", r"4^{\text{th}}"),
            ("4", "4th"),
            ("21", "21^{st}"),
            (r"\frac16", r"0.1\overline{6}"),
            (r"\frac13", r"0.\bar{3}"),
            (r"\frac13", r"0.\dot{3}"),
            (r"\frac{3}{11}", r"0.\overline{27}"),
            ("B", r"\textbf{(B)}\ 5"),
            ("5", r"\textbf{(B)}\ 5"),
            ("(C)", "C"),
            ("C", "C."),
            (r"\text{(C)}", r"\mathrm{(C)}"),
            (r"\sqrt[3]{2}", "2^{1/3}"),
            (r"\text{Evelyn}", "Evelyn."),
            ("5", r"\mathbf{5}"),
            ("5", r"\underline{5}"),
            ("5", "2+3=5"),
            ("5", "x=5"),
            ("5", r"\text{Answer}=5"),
            ("5", "f(2)=5"),
            ("x=5", "5"),
            ("y=2x+3", "2x+3"),
            ("y=2x+3", "2x-y+3=0"),
            ("x+y=3", "y+x=3"),
            ("x+y=3", "2x+2y=6"),
            ("5", r"\sqrt{25}=5"),
            ("0", "0=0"),
            ("5", "5=x"),
            ("12", r"3\cdot4=12"),
            ("5", r"\angle A=5"),
        ],
        [
            ("4", "5^{th}"),
            (r"\frac13", "0.333"),
            ("C", r"\textbf{(B)}\ 5"),
            ("6", r"\textbf{(B)}\ 5"),
            ("B", "(b)"),
            ("5", "2x=5"),
            ("5", "x+y=5"),
            ("5", "2+2=5"),
            ("5", "xy=5"),
            ("y=2x+3", "y=2x-3"),
            ("x+y=3", "x+y"),
            ("4", r"\sqrt{25}=4"),
            ("13", r"3\cdot4=13"),
            ("5", "x^2=5"),
            ("x^2=5", "5"),
        ],
    ),
    "decimals against roots": (
        [(r"\sqrt2", "1.414214"), (r"\sqrt2", "1.41421356237"), (r"\pi", "3.141593"), ("50%", "0.5"), ("50", "50%")],
        [(r"\sqrt2", "1.4142"), (r"\sqrt2", "1.41421399"), (r"\pi", "3.14"), ("0.5", "50")],
    ),
    "formulas": (
        [
            (r"\int_0^1 2x\,dx", "1"),
            (r"\sum_{k=1}^{3} k", "6"),
            (r"\ln 2", r"\frac{\ln 4}{2}"),
            (r"\log_2 8", "3"),
            (r"\sin 30^\circ", r"\frac12"),
            (r"\cos\frac{\pi}{3}", r"\frac12"),
            (r"\sin^2 x+\cos^2 x", "1"),
            (r"\frac{a}{b}", "a/b"),
            (r"\frac{n(n+1)}{2}", r"\binom{n+1}{2}"),
            ("(x-1)(x+1)", "x^2-1"),
            ("2^{n+1}", r"2\cdot 2^n"),
            (r"\arctan 1", r"\frac{\pi}{4}"),
            (r"\infty", r"+\infty"),
            ("x_1+x_2", "x_2+x_1"),
            ("no solution", r"\emptyset"),
        ],
        [
            ("|x|", "x"),
            (r"\infty", r"-\infty"),
            ("x_1", "x_2"),
            ("f'(x)", "f(x)"),
            ("two", "2"),
            ("cat", "act"),
            ("3:4", "4:3"),
            ("05:00", "5:00"),
        ],
    ),
}
"""By kind of fault: (gold, answer) that are equal, and (gold, answer) that are not. Worked out by hand."""


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_judged_as_by_hand_and_votes_agree(kind):
    right, wrong = KINDS[kind]
    same = MathJudge().same
    for pairs, expected in ((right, RIGHT), (wrong, WRONG)):
        for gold, answer in pairs:
            assert verdict(gold, box(answer)) is expected, (gold, answer)
            assert same(gold, answer) is same(answer, gold) is (expected is RIGHT), (gold, answer)
            assert verdict(answer, box(gold)) is expected or verdict(answer, box(gold)) is UNPARSABLE, (gold, answer)


def test_more_answers_worked_out_by_hand():
    rows = [json.loads(line) for line in FIXTURE.read_text(encoding="utf-8").splitlines()]
    wrong = [row for row in rows if verdict(row["gold"], box(row["answer"])) != row["verdict"]]
    assert wrong == []
    same = MathJudge().same
    assert [row for row in rows if same(row["answer"], row["gold"]) is not (row["verdict"] == "right")] == []


FIXTURE = Path(__file__).parents[1] / "fixtures" / "judge-answers.jsonl"
CASES = [directory / "cases" / "judge.jsonl" for directory in (data_directory().parent, Path("../shared"))]


def test_every_case_of_the_file_is_judged_rightly():
    file = next((p for p in CASES if p.is_file()), None)
    if file is None:
        pytest.skip("no file of cases here")
    cases = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    judges = {mode: make_judge("math", mode=mode) for mode in ("strict", "lenient")}
    wrong = [
        (case["kind"], case["gold"], case["reply"][-60:])
        for case in cases
        if judges[case.get("mode", "strict")].judge(Problem("?", case["gold"]), case["reply"]).verdict != case["verdict"]
    ]
    assert wrong == []
