"""The base of all settings records: strict, frozen, unknown keys refused; and settings that name an entry of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

from rise.errors import did_you_mean


class Settings(BaseModel):
    """Base of all settings: unknown keys are refused, values are not silently converted (a whole number may be a fraction)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True, allow_inf_nan=False)


def one_of(table: Mapping[str, Any]) -> AfterValidator:
    """A setting whose values are the names in `table`, looked up when a recipe is read: names added to it count."""

    def check(name: str) -> str:
        if name not in table:
            raise PydanticCustomError("unknown_name", f"no such name. {did_you_mean(name, table)}")
        return name

    return AfterValidator(check)
