"""Which of a few primes divides a number? One cannot tell at sight; dividing is four small steps, and what is left tells."""

from __future__ import annotations

import random
from collections.abc import Sequence

from rise.errors import ConfigError
from rise.tasks.generated import whole
from rise.tasks.search import SearchTask


class Divisor(SearchTask):
    """`43015?` asks which of 7, 11, 13, 17, 19, 23 divides 43015; exactly one does.

    A reply divides by one of them, digit by digit, and says what is left each time, and at last whether it divides:
    `11:43r10 100r1 11r0 5r5 no`, `7:43r1 10r3 31r3 35r0 yes`.
    """

    name = "divisor"
    own_alphabet = "?r"

    def __init__(self, *, primes: Sequence[int] = (7, 11, 13, 17, 19, 23), digits: int = 5, seed: int = 0) -> None:
        """`primes` are the candidates, two or more different primes below 100; numbers have so many `digits`."""
        super().__init__({"divisor": 1.0}, {"divisor"}, seed)
        self.primes = [whole("primes", p, 2, 97) for p in primes]
        if len(set(self.primes)) < 2 or len(set(self.primes)) < len(self.primes):
            raise ConfigError(f"primes = {list(primes)!r}; expected two or more different ones, e.g. [7, 11, 13].")
        if composite := [p for p in self.primes if any(p % d == 0 for d in range(2, p))]:
            raise ConfigError(f"primes = {list(primes)!r}; {composite[0]} is none.")
        self.digits = whole("digits", digits, 3, 9)

    def ask(self, kind: str, rng: random.Random) -> str:
        least, most = 10 ** (self.digits - 1), 10**self.digits - 1
        prime = rng.choice(self.primes)  # drawn first, so that each is right equally often
        while True:
            number = prime * rng.randint(-(-least // prime), most // prime)
            if sum(number % p == 0 for p in self.primes) == 1:
                return f"{number}?"

    def candidates(self, question: str) -> list[str]:
        return [str(p) for p in self.primes]

    def worked(self, question: str, candidate: str) -> str | None:
        """Long division by the digits, what is left after each.

        >>> Divisor().worked("43015?", "11")
        '11:43r10 100r1 11r0 5r5 no'
        """
        number = _number(question)
        if number is None or candidate not in self.candidates(question):
            return None
        prime, digits = int(candidate), str(number)
        value, steps = int(digits[:2]), []
        for digit in [*digits[2:], None]:
            left = value % prime
            steps.append(f"{value}r{left}")
            if digit is not None:
                value = 10 * left + int(digit)
        return f"{candidate}:{' '.join(steps)} {'no' if left else 'yes'}"

    def hits(self, question: str, candidate: str) -> bool:
        number = _number(question)
        return number is not None and candidate in self.candidates(question) and number % int(candidate) == 0


def _number(question: str) -> int | None:
    """The number of `43015?`."""
    digits = question.removesuffix("?")
    return int(digits) if digits.isascii() and digits.isdigit() and 2 < len(digits) < 10 else None
