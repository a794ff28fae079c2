"""From JSON schema to inputs, and from what was entered to JSON."""

from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any, Literal

import pytest
from pydantic import BaseModel, EmailStr, SecretStr

from jobs.dashboard.task_form import Argument, TaskForm
from jobs.payload import check, model_of


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


class Line(BaseModel):
    sku: str
    quantity: int


def sample(
    *,
    name: str,
    count: int,
    price: Decimal,
    on: date,
    to: EmailStr,
    link: SecretStr,
    size: Size,
    kind: Literal["a", "b"],
    lines: list[Line],
    dry_run: bool = False,
    note: str | None = None,
    limit: int | None = None,
) -> None:
    """Take one of each."""


MODEL = model_of(sample, "sample")
SCHEMA = MODEL.model_json_schema()

ENTERED = {
    "name": "5",
    "count": "3",
    "price": "12345678901234567.89",
    "on": "2026-11-21",
    "to": "a@example.com",
    "link": "https://example.com/reset?t=1",
    "size": '"large"',
    "kind": '"b"',
    "lines": '[{"sku": "x", "quantity": 2}]',
    "note": "",
    "limit": "7",
}


class _Task:
    class definition:  # noqa: N801
        arguments = MODEL


def form(data: dict[str, str] | None = None, **options: Any) -> TaskForm:
    prefixed = {f"arg-{name}": value for name, value in (data or {}).items()}
    return TaskForm(_Task, prefixed if data is not None else None, **options)  # type: ignore[arg-type]


def test_what_was_entered_is_what_the_task_takes() -> None:
    bound = form(ENTERED)
    assert bound.is_valid()
    checked = check(MODEL, "sample", bound.payload())
    assert checked.model_dump(exclude={"link"}) == {
        "name": "5",
        "count": 3,
        "price": Decimal("12345678901234567.89"),
        "on": date(2026, 11, 21),
        "to": "a@example.com",
        "size": Size.LARGE,
        "kind": "b",
        "lines": [{"sku": "x", "quantity": 2}],
        "dry_run": False,
        "note": None,
        "limit": 7,
    }


def test_a_secret_is_never_shown_again() -> None:
    html = form(given={"link": "https://example.com/reset?t=1", "name": "x"}).as_p()
    assert "reset?t=1" not in html
    assert 'type="password"' in html
    rejected = form(ENTERED)
    assert "reset?t=1" not in rejected.as_p()


def test_choices_are_offered() -> None:
    html = form().as_p()
    assert html.count("<select") == 2
    for word in ("small", "large"):
        assert f">{word}</option>" in html


@pytest.mark.parametrize("text", ["[1,", "{", "soon"])
def test_text_that_is_no_json_is_left_for_the_engine_to_refuse(text: str) -> None:
    argument = Argument("lines", SCHEMA["properties"]["lines"], is_required=True)
    assert argument.value(text) == text


def test_emptying_an_input_takes_its_value_away_and_leaving_a_secret_empty_keeps_it() -> None:
    given = {"note": "old", "name": "old", "link": "**********"}
    bound = form({"note": "", "name": "", "link": ""}, given=given)
    assert bound.is_valid()
    assert bound.payload() | {"note": None, "name": ""} == bound.payload()
    assert "link" not in bound.payload()
