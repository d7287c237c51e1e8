r"""Words behind a number: units, which are read over, scales such as million, and what makes another number of it.

Pieces of patterns, put together in `numbers.py` and `leaves.py`, where `re.ASCII` holds.
"""

from __future__ import annotations

import math
import re

_WORDS = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_WORDS |= {said: scale for name, scale in _WORDS.items() for said in (f"{name}s", name.capitalize())}
_FOREIGN_WORDS = {
    10**3: "тысяча тысячи тысяч тыс Tausend mille mil हजार हज़ार ألف آلاف",
    10**5: "lakh lakhs लाख",
    10**6: "миллион миллиона миллионов млн Millionen millones مليون",
    10**7: "crore crores करोड़",
    10**9: "млрд Milliarden",
}
_WORDS |= {word: scale for scale, words in _FOREIGN_WORDS.items() for word in words.split()}
_SIGNS = {10**2: "百백", 10**3: "千천", 10**4: "万萬만", 10**8: "亿億억"}
_OF_SIGN = {sign: scale for scale, signs in _SIGNS.items() for sign in signs}
_NAMED = "|".join(sorted(_WORDS, key=len, reverse=True))
SCALE = rf"(?:{_NAMED})(?![^\W\d_])|[{''.join(_OF_SIGN)}]{{1,2}}(?![克米瓦卡赫焦分])"  # 3 million, 3百万, but 3 of 千克


def scale_of(said: str) -> int:
    """What a number is multiplied by where `SCALE` has matched.

    >>> scale_of("million"), scale_of("百万")
    (1000000, 1000000)
    """
    return _WORDS.get(said) or math.prod(_OF_SIGN[sign] for sign in said)


_SINGLE = "m|s|g|h|L|N|J|W|V"  # units before or behind a slash alone: a last letter by itself is a name
_SHORT_UNITS = "cm|mm|km|kg|mg|ml|mL|hr|ft|in|lb|oz|kW|Hz|kHz|MHz|GHz|GB|MB|kJ|kN|mph|kph|rpm|of"
_SPACED_UNITS = "mi|yd|ms|dm|nm|ha|pts|hp|sq|cu"
NOT_UNITS = (
    rf"{_NAMED}|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|"
    r"times(?!\s*(?:$|\}|as\b|larger|greater|more|longer|per\b))|"
    "and|or|to|plus|minus|over|mod|sqrt|sin|cos|tan|log|exp|divided|multiplied|squared|cubed|pi|choose|base|by|out|"
    "more|less|greater|fewer|below|under|above|but|not|if|for|dozen|percent|factorial|remainder|rem|modulo|inverse|reciprocal|"
    r"at\s+(?:most|least)|maximum|minimum|(?:st|nd|rd|th)\s+(?:root|power)|"
    "negative|doubled|tripled|halved|half|halves|oder|und|mehr|weniger|moins|menos|mais|más|"
    "(?:thi|fou|fif|six|seven|eigh|nin|ten|eleven|twelf|[a-z]+teen|[a-z]+tie|hundred|thousand|[mbt][a-z]+llion)(?:rd|r?th)s?"
)
"""Words that make a formula, a list, a range or another number of what looks like a number with its unit."""
_NOT_FOREIGN_UNITS = (  # or, and, not, more, less; and inside a word: or more, and a half
    r"(?!(?:и|или|не|более|менее|больше|меньше|أو|و|या|और|또는|및)(?:\s|\}|$))"
    r"(?![^\s\d]*(?:以上|以下|以内|未満|未满|多|余|半|이상|이하|미만|초과|반))"
)
_SQUARED = r"(?:\s*\^\s*\{?-?[23]\}?|(?<=[A-Za-z])[23](?!\d))?"
_FOREIGN = (
    rf"{_NOT_FOREIGN_UNITS}[\u00c0-\u024f\u0400-\u052f\u0590-\u06ff\u0900-\u0dff\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff"
    r"\uac00-\ud7af]{1,12}"
)
_TEXT_UNIT = rf"\\text\{{\s*(?!(?:{NOT_UNITS})\b)[^{{}}]*\}}"
_MARKED = rf"(?:{_TEXT_UNIT}|\\frac\s*\{{\s*{_TEXT_UNIT}{_SQUARED}\s*\}}\s*\{{\s*{_TEXT_UNIT}{_SQUARED}\s*\}})"
_PER = rf"(?:{_SHORT_UNITS}|{_SINGLE}|mi|yd|min|sec|day|hour|year|week|month|[a-z]{{3,}})\b"
_TIMES = r"(?<=\s)(?:N|k?W)\s*\\cdot\s*(?:m|h|s)\b"
_RATE = rf"(?:(?:(?<=\s)(?:{_SINGLE}|{_SPACED_UNITS})|{_SHORT_UNITS}|mi){_SQUARED}\s*/\s*{_PER}{_SQUARED}|{_TIMES})"  # m/s, km/h
_WORD = (
    rf"(?!(?:{NOT_UNITS})\b)"
    rf"(?:{_MARKED}|{_RATE}|[A-Za-z\u00c0-\u024f]{{3,}}|(?:{_SHORT_UNITS}|{_SPACED_UNITS})\b|{_FOREIGN}){_SQUARED}"
)
_FIRST_WORD = (  # 6 apples and 6cm, not 6abc
    rf"(?:(?:{_MARKED}|{_RATE}|(?:{_SHORT_UNITS})\b|{_FOREIGN}){_SQUARED}|(?<=[\s/-]){_WORD})"
)
UNITS = rf"[-/]?\s*{_FIRST_WORD}(?:(?:[\s/-]+|\s*\\cdot\s+){_WORD}|\s?{_MARKED}{_SQUARED}){{0,8}}"
_OPPOSITES = [
    {"am": "am", "pm": "pm"},
    {"bc": "bc", "bce": "bc", "ad": "ad", "ce": "ad"},
    {
        point: point
        for half in ("", "north", "south")
        for point in (half or "north", half or "south", f"{half}east", f"{half}west")
    },
    {"left": "left", "leftward": "left", "leftwards": "left", "right": "right", "rightward": "right", "rightwards": "right"},
    {"up": "up", "upward": "up", "upwards": "up", "down": "down", "downward": "down", "downwards": "down"},
    {"clockwise": "clockwise", "counterclockwise": "counter", "anticlockwise": "counter"},
]


def opposed(left: str, right: str) -> bool:
    """Whether two looks say opposites of a number, such as morning and evening; one that says neither agrees with both.

    >>> opposed("6am", "6pm"), opposed("5miles north", "5mi north"), opposed("5miles north", "5"), opposed("500BC", "500AD")
    (True, False, False, True)
    """
    words = [set(re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])\.", "", text.lower()))) for text in (left, right)]
    for names in _OPPOSITES:
        said = [{names[word] for word in of if word in names} for of in words]
        if all(said) and said[0] != said[1]:
            return True
    return False


ORDINAL = r"\s*(?:\^\s*)?\{?\s*(?:\\text\{)?(?:st|nd|rd|th)\b(?![\s}]*(?:\\text\{\s*)?(?:root|power)\b)[\s}]*"
