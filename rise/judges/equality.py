"""Whether two answers are the same, form by form. Symmetric, and the only notion of it: verdicts and votes both ask here.

What fractions and text decide is decided here. Where formulas must be compared, `algebra` is asked: that of `algebra.py` in the
worker's process; in ours there is none, and `Doubt` says that the worker has to be asked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Protocol

from rise.judges.forms import Bracketed, Choice, Cut, Form, Items, Leaf, Matrix, Named, Numeral, Relation, Union, WorkedOut
from rise.judges.formulas import letters, tree
from rise.judges.leaves import plain_digits
from rise.judges.numbers import same_number
from rise.judges.units import opposed


class Doubt(Exception):
    """Only algebra can tell."""


class Algebra(Protocol):
    def same(self, left: Leaf, right: Leaf) -> bool:
        """Whether two formulas are equal wherever both are defined."""
        ...

    def same_relation(self, left: Relation, right: Relation) -> bool:
        """Whether two equations or inequalities say the same: one is the other times a number."""
        ...


class NoAlgebra:
    """Doubts."""

    def same(self, left: Leaf, right: Leaf) -> bool:
        raise Doubt

    def same_relation(self, left: Relation, right: Relation) -> bool:
        raise Doubt


def same_form(left: Form, right: Form, algebra: Algebra) -> bool:
    """Whether two forms are the same answer. Raises `Doubt` where `algebra` does."""
    if left == right:
        return not isinstance(left, Leaf) or bool(left.look)
    for a, b in ((left, right), (right, left)):
        if isinstance(a, Choice):
            return _same_choice(a, b, algebra)
    for a, b in ((left, right), (right, left)):
        if isinstance(a, WorkedOut):
            return same_form(a.what, b, algebra) and all(_same_step(step, a.what, algebra) for step in a.steps)
    if isinstance(left, Relation) or isinstance(right, Relation):
        return _same_relations(left, right, algebra)
    if any(isinstance(side, Items) and _by_name(side) for side in (left, right)) or (_by_name(left) and _by_name(right)):
        return _same_by_name(left, right, algebra)
    if isinstance(left, Named) or isinstance(right, Named):
        return _same_named(left, right, algebra)
    for a, b in ((left, right), (right, left)):
        if isinstance(a, Items) and not isinstance(b, Items | Union | Cut):
            return len(a.items) == 1 and same_form(a.items[0], b, algebra)
    if isinstance(left, Union | Cut) or isinstance(right, Union | Cut):
        return _same_unions(left, right, algebra)
    if isinstance(left, Items) and isinstance(right, Items):
        return _in_any_order(left.items, right.items, algebra)
    if isinstance(left, Bracketed) and isinstance(right, Bracketed):
        return left.brackets == right.brackets and _in_this_order(left.items, right.items, algebra)
    if isinstance(left, Matrix) and isinstance(right, Matrix):
        return len(left.rows) == len(right.rows) and all(
            _in_this_order(a, b, algebra) for a, b in zip(left.rows, right.rows, strict=True)
        )
    if isinstance(left, Numeral) or isinstance(right, Numeral):
        return _digits(left) == _digits(right) is not None and not (isinstance(left, Numeral) and isinstance(right, Numeral))
    return isinstance(left, Leaf) and isinstance(right, Leaf) and _same_leaves(left, right, algebra)


def _same_leaves(left: Leaf, right: Leaf, algebra: Algebra) -> bool:
    if left.look == right.look:
        return bool(left.look)
    if opposed(left.look, right.look):
        return False
    if left.number is not None and right.number is not None:
        return same_number(left.number, right.number)
    if left.words or right.words or not left.text or not right.text:
        return False
    return algebra.same(left, right)


def _same_choice(choice: Choice, other: Form, algebra: Algebra) -> bool:
    """(B) 5 is B, and it is 5; (B) 6 is neither (B) 5 nor (C) 6."""
    if isinstance(other, Choice):
        return choice.letter == other.letter and same_form(choice.what, other.what, algebra)
    if isinstance(other, Leaf) and other.look == choice.letter:
        return True
    return same_form(choice.what, other, algebra)


def _digits(numeral: Form) -> str | None:
    """The digits as written: a numeral without a base agrees with one in any base."""
    if isinstance(numeral, Numeral):
        return numeral.digits
    if isinstance(numeral, Leaf) and (found := re.fullmatch(r"(-?)([0-9A-Z][0-9A-Z.]*)", numeral.look.replace(",", ""))):
        return found[1] + plain_digits(found[2])
    return None


def _same_step(step: Form, result: Form, algebra: Algebra) -> bool:
    """44 = 134_5 holds by value, though neither is the other's answer."""
    if isinstance(step, Numeral) or isinstance(result, Numeral):
        values = [_in_ten(side) for side in (step, result)]
        return values[0] is not None and values[0] == values[1]
    return same_form(step, result, algebra)


def _in_ten(numeral: Form) -> Fraction | None:
    if isinstance(numeral, Leaf):
        return numeral.number[0] if numeral.number else None
    if (
        not isinstance(numeral, Numeral)
        or "." in numeral.digits
        or any(int(d, 36) >= numeral.base for d in numeral.digits.lstrip("-"))
    ):
        return None
    return Fraction(int(numeral.digits, numeral.base))


_LETTER = r"(?:[A-Za-z]|\\[A-Za-z]+)(?:_\{?\w+\}?)?'*"
_NUMBERED = re.compile(r"([A-Za-z])_\{?\d+\}?")
_TUPLE = re.compile(rf"\({_LETTER}(?:,{_LETTER}){{1,3}}\)")
_PLACE = re.compile(r"m?(?:(\\angle|\\triangle)\s*|\\overline)?\{?([A-Z]{1,4})\}?|\|([A-Z]{2})\|")

_MEASURED = re.compile(r"(\\(?:sin|cos|tan|cot|sec|csc|det))(.+)|\\?\|(?![A-Z]{2}\|).+\|")


def _called(name: str) -> tuple[str, str] | None:
    """(of what kind a name in a formula is, the name); None for words. Names of one kind that differ call different things."""
    name = name.replace(" ", "")
    if re.fullmatch(_LETTER, name):
        return "letter", name
    if _TUPLE.fullmatch(name):
        return "tuple", name
    if found := _MEASURED.fullmatch(name):
        return "measured", found[1] + found[2].strip("(){}") if found[1] else name
    if found := _PLACE.fullmatch(name):
        points = found[2] or found[3]
        return found[1] or "segment", min(points, points[::-1])
    return ("value", name) if re.fullmatch(r".+\(.+\)'*", name) else None


def _by_name(form: Form) -> dict[str, Form] | None:
    """What is said of each of several names: of x = 1, y = 2, and of (x, y) = (1, 2)."""
    if isinstance(form, Items):
        names = {item.name: item.what for item in form.items if isinstance(item, Named)}
        return names if len(names) == len(form.items) > 1 else None
    if isinstance(form, Named) and _TUPLE.fullmatch(name := form.name.replace(" ", "")) and isinstance(form.what, Bracketed):
        order = name[1:-1].split(",")
        return dict(zip(order, form.what.items, strict=True)) if len(order) == len(form.what.items) else None
    return None


def _same_by_name(left: Form, right: Form, algebra: Algebra) -> bool:
    """x = 1, y = 2 is y = 2, x = 1, is (x, y) = (1, 2), and is (1, 2) in the order of the alphabet; no list without names."""
    a, b = _by_name(left), _by_name(right)
    if a is not None and b is not None:
        return a.keys() == b.keys() and all(same_form(a[name], b[name], algebra) for name in a)
    names, other = (a, right) if a is not None else (b, left)
    assert names is not None
    if isinstance(other, Items) and not any(isinstance(item, Named) for item in other.items):  # roots, x_1 = 2 and x_2 = 5
        bases = {(found := _NUMBERED.fullmatch(name)) and found[1] for name in names}
        return len(bases) == 1 and None not in bases and _in_any_order(list(names.values()), other.items, algebra)
    if not isinstance(other, Bracketed) or other.brackets != "()" or not all(re.fullmatch("[A-Za-z]", name) for name in names):
        return False
    return _in_this_order([names[name] for name in sorted(names)], other.items, algebra)


def _same_named(left: Form, right: Form, algebra: Algebra) -> bool:
    """x = 5 is 5, and is not y = 5; what an answer is called in words does not matter."""
    if isinstance(left, Named) and isinstance(right, Named):
        called = _called(left.name), _called(right.name)
        kinds = {of[0] for of in called if of}
        if all(called) and called[0] != called[1] and (len(kinds) == 1 or "measured" in kinds):
            return _turned_round(left, right) or _solved_for_another(left, right, algebra)
        if isinstance(left.what, Leaf) != isinstance(right.what, Leaf):
            return False
    a, b = (side.what if isinstance(side, Named) else side for side in (left, right))
    return same_form(a, b, algebra)


def _solved_for_another(left: Named, right: Named, algebra: Algebra) -> bool:
    """x = 2y + 1 is y = (x - 1)/2."""
    a, b = left.what, right.what
    if not (isinstance(a, Leaf) and isinstance(b, Leaf) and a.tree and b.tree):
        return False
    if left.name not in letters(b.tree) or right.name not in letters(a.tree):
        return False
    return algebra.same_relation(Relation("=", _letter(left.name), a), Relation("=", _letter(right.name), b))


def _turned_round(left: Named, right: Named) -> bool:
    """a = b is b = a."""
    return (
        isinstance(left.what, Leaf)
        and isinstance(right.what, Leaf)
        and (left.what.look, left.name) == (right.name, right.what.look)
    )


def _same_relations(left: Form, right: Form, algebra: Algebra) -> bool:
    if isinstance(left, Relation) and isinstance(right, Relation):
        for a, b in ((right.left, right.right), (right.right, right.left)):
            if left.left.look == a.look and left.right.look == b.look and (a is right.left or left.sign in ("=", "\\ne")):
                return left.sign == right.sign
        return left.sign == right.sign and algebra.same_relation(left, right)
    relation, other = (left, right) if isinstance(left, Relation) else (right, left)
    assert isinstance(relation, Relation)
    found = _as_relation(other, relation)
    return found is not None and found.sign == relation.sign and algebra.same_relation(relation, found)


def _as_relation(form: Form, like: Relation) -> Relation | None:
    """y = 2x + 3 as an equation, x > 2 or (2, \\infty) as an inequality in the letter of the other side."""
    if isinstance(form, Named) and isinstance(form.what, Leaf):
        return Relation("=", Leaf(form.name, form.name, tree=tree(form.name) or ("letter", form.name)), form.what)
    names = [(of.tree and letters(of.tree)) or frozenset() for of in (like.left, like.right)]
    both = names[0] | names[1]
    name = form.name if isinstance(form, Named) else next(iter(both)) if len(both) == 1 else None
    what = form.what if isinstance(form, Named) else form
    if name is None or not isinstance(what, Bracketed) or len(what.items) != 2:
        return None
    low, high = what.items
    if not isinstance(low, Leaf) or not isinstance(high, Leaf):
        return None
    if low.look == "-\\infty" and high.look != "\\infty":
        return Relation("<" if what.brackets[1] == ")" else "\\le", _letter(name), high)
    if high.look == "\\infty" and low.look != "-\\infty":
        return Relation("<" if what.brackets[0] == "(" else "\\le", low, _letter(name))
    return None


def _letter(name: str) -> Leaf:
    return Leaf(name, name, tree=("letter", name))


def _in_this_order(left: Sequence[Form], right: Sequence[Form], algebra: Algebra) -> bool:
    return len(left) == len(right) and all(same_form(a, b, algebra) for a, b in zip(left, right, strict=True))


def _in_any_order(left: Sequence[Form], right: Sequence[Form], algebra: Algebra) -> bool:
    """Whether each of one side has a partner of its own on the other."""
    if len(left) != len(right):
        return False
    partner: dict[int, int] = {}

    def found(i: int, tried: set[int]) -> bool:
        for j in range(len(right)):
            if j not in tried and same_form(left[i], right[j], algebra):
                tried.add(j)
                if j not in partner or found(partner[j], tried):
                    partner[j] = i
                    return True
        return False

    return all(found(i, set()) for i in range(len(left)))


# ---- intervals -----------------------------------------------------------------------------------------------------------

_Span = tuple[Fraction | float, bool, Fraction | float, bool]
"""(from, whether with it, to, whether with it)"""


def _same_unions(left: Form, right: Form, algebra: Algebra) -> bool:
    if not all(_is_union(side) for side in (left, right) if isinstance(side, Items)):
        return False
    spans = [_spans(side) for side in (left, right)]
    if spans[0] is not None and spans[1] is not None:
        return spans[0] == spans[1]
    if isinstance(left, Cut) != isinstance(right, Cut) and not isinstance(left, Union) and not isinstance(right, Union):
        return False
    if isinstance(left, Cut) and isinstance(right, Cut):
        ends = ((left.whole, right.whole), (left.other, right.other))
        return left.sign == right.sign and all(same_form(a, b, algebra) for a, b in ends)
    parts = [
        side.parts if isinstance(side, Union) else side.items if isinstance(side, Items) else (side,) for side in (left, right)
    ]
    return _in_any_order(parts[0], parts[1], algebra)


def _is_union(items: Items) -> bool:
    """Whether a list can be meant as a union: intervals of which none goes on in another, or points alone."""
    if len(items.items) == 1 or all(isinstance(item, Leaf) for item in items.items):
        return True
    if not all(isinstance(item, Bracketed | Union) for item in items.items):
        return False
    whole, parts = _spans(items), [_spans(item) or [] for item in items.items]
    return whole is None or len(whole) == sum(len(part) for part in parts)


def _spans(form: Form) -> list[_Span] | None:
    """Intervals and points in order, those that touch joined; None where an end is no rational number."""
    parts: Sequence[Form] = form.parts if isinstance(form, Union) else form.items if isinstance(form, Items) else (form,)
    spans: list[_Span] = []
    if isinstance(form, Cut):
        whole, other = _spans(form.whole), _spans(form.other)
        if whole is None or other is None:
            return None
        outside = _complement(other) if form.sign == "\\cap" else other
        return _complement(_joined([*_complement(whole), *outside]))
    for part in parts:
        if isinstance(part, Leaf):
            at = _end(part)
            spans.append((at, True, at, True)) if at is not None else None
        if isinstance(part, Items | Union | Cut):
            inner = _spans(part)
            if inner is None:
                return None
            spans += inner
        elif isinstance(part, Bracketed) and len(part.items) == 2:
            low, high = (_end(item) for item in part.items)
            if low is None or high is None or low > high:
                return None
            spans.append((low, part.brackets[0] == "[", high, part.brackets[1] == "]"))
        elif not isinstance(part, Leaf) or _end(part) is None:
            return None
    return _joined(spans)


def _joined(spans: list[_Span]) -> list[_Span]:
    found: list[_Span] = []
    for low, with_low, high, with_high in sorted(spans, key=lambda span: (span[0], not span[1])):
        if found and (low < found[-1][2] or (low == found[-1][2] and (with_low or found[-1][3]))):
            before = found[-1]
            end = max((before[2], before[3]), (high, with_high))
            found[-1] = (before[0], before[1], *end)
        else:
            found.append((low, with_low, high, with_high))
    return found


def _complement(spans: list[_Span]) -> list[_Span]:
    """What of the line lies in none of the spans, which are in order and do not touch."""
    found: list[_Span] = []
    low: Fraction | float = float("-inf")
    with_low = False
    for start, with_start, end, with_end in [*spans, (float("inf"), True, float("inf"), True)]:
        if low < start or (low == start and with_low and not with_start):
            found.append((low, with_low, start, not with_start))
        low, with_low = end, not with_end
    return found


def _end(form: Form) -> Fraction | float | None:
    if not isinstance(form, Leaf):
        return None
    infinite = {"\\infty": float("inf"), "+\\infty": float("inf"), "-\\infty": float("-inf")}
    return form.number[0] if form.number is not None else infinite.get(form.look)
