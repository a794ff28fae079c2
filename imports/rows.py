"""The rows of a file as pydantic models, and why a row is refused, in words for people.

A model's fields are the columns. Cells are text, without the blanks around it; an empty cell
means the field's default, and a field without one must be filled in.
"""

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_DECIMAL = re.compile(r"[+-]?[0-9]{1,30}(\.[0-9]{1,30})?")
_YES_OR_NO = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")


def _date(text: Any) -> Any:
    if not _DATE.fullmatch(text):
        raise PydanticCustomError("not_a_date", "is not a date such as 2026-11-21")
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise PydanticCustomError("no_such_day", "is a day that does not exist") from None


def _whole(text: Any) -> Any:
    if not _WHOLE.fullmatch(text):
        raise PydanticCustomError("not_whole", "is not a whole number")
    return int(text)


def _decimal(text: Any) -> Any:
    if not _DECIMAL.fullmatch(text):
        raise PydanticCustomError("not_a_number", "is not a number such as 12.50")
    return Decimal(text)


def _yes_or_no(text: Any) -> Any:
    try:
        return _YES_OR_NO[text.lower()]
    except KeyError:
        raise PydanticCustomError("not_yes_or_no", "is neither 0 nor 1") from None


#: A calendar day, written ``2026-11-21``. (Left to itself pydantic takes ``19961121`` for seconds.)
Day = Annotated[date, BeforeValidator(_date)]
#: A whole number in ASCII digits, without separators.
Whole = Annotated[int, BeforeValidator(_whole)]
#: A decimal number with a point; no exponent, no separators, not "NaN".
Number = Annotated[Decimal, BeforeValidator(_decimal)]
#: ``0`` or ``1``, also ``false``/``true`` and ``no``/``yes``.
YesOrNo = Annotated[bool, BeforeValidator(_yes_or_no)]


class ImportRow(BaseModel):
    """A row of a file. Subclasses declare the columns."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    #: Columns that a file may leave out altogether.
    optional_columns: ClassVar[frozenset[str]] = frozenset()


class RefusedRow(Exception):
    """The row is not good."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__("; ".join(problems.values()))
        #: column -> what is wrong with it; the key "" is the row as a whole
        self.problems = dict(problems)


_TEXTS = {
    "missing": "is empty",
    "string_too_long": "is longer than {max_length} characters",
    "greater_than_equal": "is less than {ge}",
    "greater_than": "is not more than {gt}",
    "less_than_equal": "is more than {le}",
    "less_than": "is not less than {lt}",
    "decimal_max_places": "has more than {decimal_places} decimal places",
    "decimal_max_digits": "has more than {max_digits} digits",
    "decimal_whole_digits": "has more than {whole_digits} digits before the point",
    "value_error": "is not valid: {error}",
}


def _reason(item: ErrorDetails) -> str:
    context = {**item.get("ctx", {})}
    if (template := _TEXTS.get(item["type"])) is not None:
        if "error" in context or item["type"] == "value_error":
            context["error"] = context.get("reason", context.get("error", ""))
        return template.format(**context)
    return item["msg"]


def check_row(model: type[ImportRow], cells: Mapping[str, str]) -> ImportRow:
    """Return the row that the cells make.

    Raises:
        RefusedRow: some cells are not good; it names the column and the reason of each.
    """
    filled = {name: text for name, cell in cells.items() if (text := cell.strip())}
    if _UNPRINTABLE.search("".join(filled.values())):
        hidden = _hidden(model, filled)
        if hidden:
            raise RefusedRow(hidden)
    try:
        return model.model_validate(filled)
    except ValidationError as error:
        problems: dict[str, str] = {}
        for item in error.errors(include_url=False):
            name = str(item["loc"][0]) if item["loc"] else ""
            problems.setdefault(name, _named(filled.get(name), _reason(item)))
        raise RefusedRow(problems) from None


def _hidden(model: type[ImportRow], cells: Mapping[str, str]) -> dict[str, str]:
    return {
        name: _hidden_character(match.group())
        for name, text in cells.items()
        if name in model.model_fields and (match := _UNPRINTABLE.search(text))
    }


def _named(text: str | None, reason: str) -> str:
    if text is None:
        return reason
    shown = text if len(text) <= 40 else f"{text[:39]}…"
    return f"“{shown}” {reason}"


def _hidden_character(character: str) -> str:
    if character == "\0":
        return "contains a NUL character"
    if character in "\r\n\x85\u2028\u2029":
        return "contains a line break"
    return f"contains a control character (U+{ord(character):04X})"
