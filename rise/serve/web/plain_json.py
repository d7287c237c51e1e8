"""JSON as it is sent: UTF-8 whatever a model, a file or a client has put into it."""

from __future__ import annotations

import json
import math
from typing import Any

from rise.jsonl import whole_text


def plain_json(content: Any, *, ascii_only: bool = False) -> str:
    r"""Half a surrogate pair becomes U+FFFD, and a number that is none (NaN, Infinity) null.

    >>> plain_json({"a": ["\ud800é", float("nan")]})
    '{"a":["�é",null]}'
    """
    try:
        text = json.dumps(content, ensure_ascii=ascii_only, separators=(",", ":"), allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(content), ensure_ascii=ascii_only, separators=(",", ":"), allow_nan=False)
    return whole_text(text)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
