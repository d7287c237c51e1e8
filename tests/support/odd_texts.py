"""Odd texts by the hundred, for what must hold of any text: hypothesis draws the seeds, which is quicker than single letters."""

from random import Random

ANY = [(0x20, 0x7E), (0, 0x1F), (0x80, 0x2FF), (0x300, 0xD7FF), (0xE000, 0xFFFF), (0x10000, 0x10FFFF)]
"""Ranges of code points, surrogates left out; each is as likely as any other."""


def odd_texts(seed, n, pools, longest):
    """`n` texts of up to `longest` pieces, each text out of one of the `pools`, or of any characters at all."""
    rng = Random(seed)
    for _ in range(n):
        pool, length = rng.choice([*pools, None]), rng.randint(0, longest)
        if pool is None:
            yield "".join(chr(rng.randint(*rng.choice(ANY))) for _ in range(length))
        else:
            yield "".join(rng.choices(pool, k=length))
