"""Arguments: what is accepted arrives as it was, what is not names its field, secrets stay secret."""

import enum
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    EmailStr,
    Field,
    Secret,
    SecretBytes,
    SecretStr,
    computed_field,
)

from jobs import payload
from jobs.errors import InvalidPayload, PayloadTooLarge, PermanentError
from jobs.payload import MASK, Sealed


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Line(BaseModel):
    sku: str
    quantity: int
    price: Decimal


class Renamed(BaseModel):
    """Its names differ inside and outside, and it tells more than it takes."""

    model_config = ConfigDict(extra="forbid")
    given_name: str = Field(validation_alias=AliasChoices("givenName"), serialization_alias="name")

    @computed_field
    def initial(self) -> str:
        return self.given_name[:1]


def taking(annotation: Any, default: Any = ...) -> type[BaseModel]:
    """Return the arguments' model of a task with one parameter, ``value``."""

    def task(*, value: Any) -> None: ...

    task.__annotations__["value"] = annotation
    if default is not ...:
        task.__kwdefaults__ = {"value": default}
    return payload.model_of(task, "tests.take")


def sealed(model: type[BaseModel], arguments: dict[str, Any]) -> Sealed:
    return payload.seal("tests.take", payload.check(model, "tests.take", arguments))


def arrived(model: type[BaseModel], row: Sealed) -> Any:
    """Return the value that the task gets from a row, as PostgreSQL gives the row back."""
    kept = json.loads(json.dumps(row.payload))
    arguments, _ = payload.unseal(model, "tests.take", kept, row.secrets)
    return arguments["value"]


def problems(model: type[BaseModel], arguments: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(InvalidPayload) as refused:
        sealed(model, arguments)
    return refused.value.problems


# --- what is accepted ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "value", "kept"),
    [
        (str, "Ζυθοποιία 🍺", "Ζυθοποιία 🍺"),
        (str, "a \\u0000 that is told of", "a \\u0000 that is told of"),
        (str, "NaN and -Infinity", "NaN and -Infinity"),
        (int, 2**70, 2**70),
        (float, 0.1, 0.1),
        (float, 1e308, 1e308),
        (float, 5, 5.0),
        (bool, False, False),
        (str | None, None, None),
        (Decimal, Decimal("10.50"), "10.50"),
        (Decimal, "10.50", "10.50"),
        (date, date(2026, 11, 21), "2026-11-21"),
        (date, "2026-11-21", "2026-11-21"),
        (time, time(9, 30), "09:30:00"),
        (timedelta, timedelta(days=1, seconds=2), "P1DT2S"),
        (datetime, datetime(2026, 11, 21, 9, 30, tzinfo=UTC), "2026-11-21T09:30:00Z"),
        (UUID, UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (Colour, Colour.BLUE, "blue"),
        (Literal["a", "b"], "b", "b"),
        (EmailStr, "ann@example.com", "ann@example.com"),
        (list[int], [3, 1, 2], [3, 1, 2]),
        (tuple[int, str], (1, "x"), [1, "x"]),
        (dict[str, list[int]], {"a": [1]}, {"a": [1]}),
        (set[int], {4}, [4]),
        (Any, {"a": [1, None, True, {"b": "c"}]}, {"a": [1, None, True, {"b": "c"}]}),
        (
            list[Line],
            [Line(sku="A-1", quantity=2, price=Decimal("9.90"))],
            [{"sku": "A-1", "quantity": 2, "price": "9.90"}],
        ),
        (Line, {"sku": "A-1", "quantity": 2, "price": "9.90"}, None),
        (Renamed, Renamed(givenName="Ann"), {"given_name": "Ann"}),
        (Renamed, {"givenName": "Ann"}, {"given_name": "Ann"}),
        (Annotated[str, Field(alias="other")], "x", "x"),
    ],
)
def test_what_is_accepted_at_enqueue_is_what_arrives_at_the_run(
    annotation: Any, value: Any, kept: Any
) -> None:
    model = taking(annotation)
    row = sealed(model, {"value": value})
    assert kept is None or row.payload == {"value": kept}
    assert row.secrets is None
    expected = getattr(payload.check(model, "tests.take", {"value": value}), "value")  # noqa: B009
    assert arrived(model, row) == expected
    assert type(arrived(model, row)) is type(expected)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(JSON)
def test_any_json_arrives_as_it_was_given(value: Any) -> None:
    model = taking(Any)
    assert arrived(model, sealed(model, {"value": value})) == value


def test_a_default_is_written_down_so_that_a_later_release_does_not_change_waiting_jobs() -> None:
    assert sealed(taking(int, 5), {}).payload == {"value": 5}
    assert sealed(taking(str | None, None), {}).payload == {"value": None}


def test_a_task_may_take_no_arguments() -> None:
    def task() -> None: ...

    model = payload.model_of(task, "tests.take")
    assert sealed(model, {}).payload == {}
    assert problems(model, {"x": 1}) == {"x": "unknown argument; expected no arguments"}


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, "5"),
        (int, 5.5),
        (int, True),
        (bool, 1),
        (bool, "true"),
        (str, 5),
        (str, None),
        (float, "0.1"),
        (float, float("nan")),
        (float | None, float("nan")),
        (float | None, float("-inf")),
        (Any, {"deep": [float("inf")]}),
        (Decimal, Decimal("NaN")),
        (Decimal, "ten"),
        (date, "21.11.2026"),
        (date, "2026-02-30"),
        (datetime, "yesterday"),
        (UUID, "7"),
        (Colour, "green"),
        (Literal["a", "b"], "c"),
        (EmailStr, "not an address"),
        (list[int], [1, "2"]),
        (list[int], {"a": 1}),
        (Annotated[str, Field(max_length=3)], "long"),
        (Annotated[int, Field(ge=0)], -1),
        (Line, {"sku": "A-1", "quantity": "2", "price": "1"}),
        (str, "half a pair \ud800"),
        (Any, {"k\ud800": 1}),
        (str, "a\x00b"),
        (str, "\\\x00"),
        (Any, {"deep": ["a\x00b"]}),
        (Any, {"key\x00": 1}),
        (Any, object()),
        (Any, print),
        (str, b"\xff\xfe"),
    ],
)
def test_what_does_not_fit_is_refused_and_names_its_field(annotation: Any, value: Any) -> None:
    (field,) = problems(taking(annotation), {"value": value})
    assert field.split(".")[0] == "value"


def test_the_field_is_named_down_to_the_line_of_a_list() -> None:
    lines = [{"sku": "A-1", "quantity": 1, "price": "1"}, {"sku": "A-2", "price": "1"}]
    assert problems(taking(list[Line]), {"value": lines}) == {
        "value.1.quantity": "required, but not given"
    }


def test_every_problem_is_told_at_once_and_an_unknown_argument_names_the_known_ones() -> None:
    def task(*, number: int, text: str) -> None: ...

    model = payload.model_of(task, "tests.take")
    assert problems(model, {"number": "5", "txet": "x"}) == {
        "number": "Input should be a valid integer",
        "text": "required, but not given",
        "txet": "unknown argument; expected number, text",
    }


@pytest.mark.parametrize("depth", [201, 1_000, 100_000])
def test_arguments_that_nest_too_deep_are_refused(depth: int) -> None:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    assert problems(taking(Any), {"value": value})


def test_arguments_that_contain_themselves_are_refused() -> None:
    value: list[Any] = []
    value.append(value)
    assert "value" in problems(taking(Any), {"value": value})


def test_arguments_over_the_limit_are_refused_and_name_the_largest(
    conf: Callable[..., None],
) -> None:
    def task(*, small: str, large: str, token: SecretStr) -> None: ...

    model = payload.model_of(task, "tests.take")
    conf(PAYLOAD_LIMIT_BYTES=1_000)
    sealed(model, {"small": "s", "large": "l" * 900, "token": "t"})
    for field, arguments in {
        "large": {"small": "s" * 20, "large": "l" * 1_000, "token": "t"},
        "token": {"small": "s" * 20, "large": "l", "token": "τ" * 600},
    }.items():
        with pytest.raises(PayloadTooLarge) as refused:
            sealed(model, arguments)
        assert list(refused.value.problems) == [field]
        assert "1000" in str(refused.value)


# --- secrets -------------------------------------------------------------------------------------

TOKEN = 's3cr3t-λόγος-"quoted"-and-long'


def test_a_secret_is_masked_in_the_payload_encrypted_beside_it_and_arrives_whole() -> None:
    for annotation in (SecretStr, SecretStr | None, Annotated[SecretStr, Field(min_length=3)]):
        model = taking(annotation)
        for given_as in (TOKEN, SecretStr(TOKEN)):
            row = sealed(model, {"value": given_as})
            assert row.payload == {"value": MASK}
            assert row.secrets is not None
            assert TOKEN.encode() not in row.secrets
            assert arrived(model, row).get_secret_value() == TOKEN


def test_a_secret_may_have_a_nul_since_only_its_encryption_is_kept() -> None:
    model = taking(SecretStr)
    assert arrived(model, sealed(model, {"value": "a\x00b"})).get_secret_value() == "a\x00b"


def test_a_secret_that_is_not_given_is_none() -> None:
    model = taking(SecretStr | None, None)
    row = sealed(model, {})
    assert (row.payload, row.secrets) == ({"value": None}, None)
    assert arrived(model, row) is None


def test_two_rows_of_the_same_secret_do_not_look_alike() -> None:
    model = taking(SecretStr)
    assert sealed(model, {"value": TOKEN}).secrets != sealed(model, {"value": TOKEN}).secrets


def test_a_refused_secret_does_not_appear_in_the_error() -> None:
    model = taking(Annotated[SecretStr, Field(min_length=100)])
    with pytest.raises(InvalidPayload) as refused:
        sealed(model, {"value": TOKEN})
    assert TOKEN not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


@pytest.mark.parametrize(
    "annotation",
    [
        list[SecretStr],
        dict[str, SecretStr],
        tuple[SecretStr, int] | None,
        SecretStr | int,
        SecretBytes,
        Secret[int],
        Annotated[list[SecretStr], Field(max_length=3)],
    ],
)
def test_a_secret_inside_another_type_is_refused_where_the_task_is_declared(
    annotation: Any,
) -> None:
    with pytest.raises(TypeError, match="a secret must be a parameter of its own"):
        taking(annotation)


def test_a_secret_inside_a_model_is_refused_where_the_task_is_declared() -> None:
    class Login(BaseModel):
        name: str
        password: SecretStr

    for annotation in (Login, list[Login], Login | None):
        with pytest.raises(TypeError, match="a secret must be a parameter of its own"):
            taking(annotation)


def test_a_new_key_encrypts_and_the_old_one_still_decrypts(conf: Callable[..., None]) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    model = taking(SecretStr)
    conf(ENCRYPTION_KEYS=[old])
    before = sealed(model, {"value": TOKEN})
    conf(ENCRYPTION_KEYS=[new, old])
    after = sealed(model, {"value": TOKEN})
    assert arrived(model, before).get_secret_value() == TOKEN
    conf(ENCRYPTION_KEYS=[new])
    assert arrived(model, after).get_secret_value() == TOKEN
    with pytest.raises(PermanentError, match="no key of JOBS_ENCRYPTION_KEYS fits"):
        arrived(model, before)


def test_secrets_that_were_damaged_are_a_permanent_error() -> None:
    model = taking(SecretStr)
    row = sealed(model, {"value": TOKEN})
    assert row.secrets is not None
    with pytest.raises(PermanentError):
        arrived(model, Sealed(row.payload, row.secrets[:-5] + b"AAAA="))


def test_arguments_that_no_longer_fit_the_task_are_a_permanent_error() -> None:
    row = sealed(taking(str), {"value": "five"})
    with pytest.raises(PermanentError, match="value: Input should be a valid integer"):
        arrived(taking(int), row)
