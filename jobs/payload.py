"""The arguments of a task: checked, turned into JSON, and their secrets encrypted.

A task's annotated parameters become a pydantic model. Arguments are checked in strict mode, after
a trip through JSON, so that what is accepted at enqueue is what arrives at the run: ``"5"`` is no
``int``, ``"2026-11-21"`` is a ``date``.
"""

import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Never, Union, get_args, get_origin, get_type_hints

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import (
    BaseModel,
    ConfigDict,
    Secret,
    SecretBytes,
    SecretStr,
    ValidationError,
    create_model,
)
from pydantic_core import PydanticSerializationError, to_json

from jobs.conf import jobs_settings
from jobs.errors import InvalidPayload, PayloadTooLarge, PermanentError

MASK = "**********"

#: The escape itself, not a text that tells of it: the backslash is not escaped.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


@dataclass(frozen=True)
class Sealed:
    """Arguments as a job's row keeps them."""

    #: JSON for ``Job.payload``; secret arguments are masked.
    payload: dict[str, Any]
    #: Encrypted JSON of the secret arguments, or None.
    secrets: bytes | None
    #: The payload as JSON, where it was written already.
    told: str = field(default="", compare=False, repr=False)

    @property
    def json(self) -> str:
        """The payload as JSON."""
        return self.told or json.dumps(self.payload)


def model_of(function: Callable[..., Any], name: str) -> type[BaseModel]:
    """Return the model of the function's parameters.

    Raises:
        TypeError: a parameter has no name to be given by, has no annotation, or hides a secret
            inside another type, where it could not be encrypted.
    """
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        named = parameter.kind in {parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD}
        if not named or parameter.name not in hints:
            raise TypeError(
                f"{name}: parameter {parameter.name!r} must have a name to be given by, and be "
                "annotated"
            )
        if not _is_secret(hints[parameter.name]) and _holds_secret(hints[parameter.name]):
            raise TypeError(f"{name}: a secret must be a parameter of its own, a SecretStr")
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (hints[parameter.name], default)
    config = ConfigDict(extra="forbid", title=name)
    model = create_model(f"{name} arguments", __config__=config, **fields)
    if '"writeOnly": true' in json.dumps(model.model_json_schema().get("$defs", {})):
        raise TypeError(f"{name}: a secret must be a parameter of its own")
    return model


def _is_secret(annotation: Any) -> bool:
    """Say whether it is ``SecretStr``, perhaps annotated or optional."""
    if get_origin(annotation) is Annotated:
        return _is_secret(get_args(annotation)[0])
    if get_origin(annotation) in {Union, UnionType}:
        return all(_is_secret(part) for part in get_args(annotation) if part is not NoneType)
    return annotation is SecretStr


def _holds_secret(annotation: Any) -> bool:
    return any(
        isinstance(part, type) and issubclass(part, SecretStr | SecretBytes | Secret)
        for part in _parts(annotation)
    )


def _parts(annotation: Any) -> Iterator[Any]:
    yield get_origin(annotation) or annotation
    for part in get_args(annotation):
        yield from _parts(part)


def _revealed(value: Any) -> Any:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def check(model: type[BaseModel], task: str, arguments: Mapping[str, Any]) -> BaseModel:
    """Return the checked arguments; raises :class:`InvalidPayload` naming each bad field."""
    try:
        raw = _as_json({key: _revealed(value) for key, value in arguments.items()})
    except (PydanticSerializationError, ValueError, TypeError) as error:
        raise InvalidPayload(task, _not_json(arguments) or {"payload": str(error)}) from None
    return _checked(model, task, raw)


def _checked(model: type[BaseModel], task: str, raw: bytes | str) -> BaseModel:
    try:
        # Said here, it holds for the models inside arguments, too.
        return model.model_validate_json(raw, strict=True, by_alias=True, by_name=True)
    except ValidationError as error:
        problems = {
            ".".join(str(part) for part in item["loc"]) or "payload": _expected(item, model)
            for item in error.errors(include_input=False, include_url=False)
        }
        raise InvalidPayload(task, problems) from None


def _as_json(value: Any) -> bytes:
    raw = to_json(value, inf_nan_mode="constants", by_alias=False, round_trip=True)
    if b"NaN" in raw or b"Infinity" in raw:  # in a text perhaps, where they are welcome
        json.loads(raw, parse_constant=_refuse)
    return raw


def jsonable(value: Any) -> Any:
    """Return the value as JSON has it: a date is a text, a tuple a list.

    Raises:
        ValueError, TypeError: JSON cannot hold it, or PostgreSQL could not keep it.
    """
    told = _as_json(value).decode()
    if holds_nul(told):
        raise ValueError("expected text without NUL characters")
    return json.loads(told)


def takes_secrets(model: type[BaseModel]) -> bool:
    """Say whether an argument of this model is a secret."""
    return bool(_secrets_of(model))


@cache
def _secrets_of(model: type[BaseModel]) -> tuple[str, ...]:
    fields = model.model_fields.items()
    return tuple(name for name, item in fields if _is_secret(item.annotation))


def _refuse(constant: str) -> Never:
    raise ValueError(f"{constant} is no JSON number")


def _expected(item: Any, model: type[BaseModel]) -> str:
    if item["type"] == "extra_forbidden":
        return f"unknown argument; expected {', '.join(model.model_fields) or 'no arguments'}"
    if item["type"] == "missing":
        return "required, but not given"
    return str(item["msg"])


def _not_json(arguments: Mapping[str, Any]) -> dict[str, str]:
    problems = {}
    for key, value in arguments.items():
        try:
            _as_json(_revealed(value))
        except (PydanticSerializationError, ValueError, TypeError):
            problems[key] = f"expected something JSON can hold, not {type(value).__name__}"
    return problems


def seal(task: str, checked: BaseModel, limit: int | None = None) -> Sealed:
    """Turn checked arguments into what the row keeps.

    Raises:
        PayloadTooLarge: they take more bytes of JSON than ``limit``, or ``PAYLOAD_LIMIT_BYTES``.
        InvalidPayload: a text has a NUL character, which PostgreSQL cannot keep.
    """
    hidden = {
        name: value.get_secret_value()
        for name in _secrets_of(type(checked))
        if isinstance(value := getattr(checked, name), SecretStr)
    }
    payload: dict[str, Any] = checked.model_dump(mode="json", by_alias=False, round_trip=True)
    told = json.dumps(payload)
    if holds_nul(told):
        nul = [key for key, value in payload.items() if holds_nul(json.dumps(value))]
        raise InvalidPayload(task, dict.fromkeys(nul, "expected text without NUL characters"))
    size = len(told) + sum(len(value.encode()) for value in hidden.values())
    limit = limit or jobs_settings().PAYLOAD_LIMIT_BYTES
    if size > limit:
        sizes = {key: len(json.dumps(value)) for key, value in (payload | hidden).items()}
        largest = max(sizes, key=lambda key: sizes[key])
        message = (
            f"takes most of {size} bytes, and a job may take {limit}; "
            "store the data and pass its id"
        )
        raise PayloadTooLarge(task, {largest: message})
    secrets = _fernet().encrypt(json.dumps(hidden).encode()) if hidden else None
    return Sealed(payload, secrets, told)


def holds_nul(told: str) -> bool:
    """Say whether a text in this JSON has a NUL character, which PostgreSQL cannot keep."""
    return _NUL.search(told) is not None


def size_of(value: Any) -> int:
    """Return the bytes of its JSON in UTF-8: a Greek letter is two, as in the database."""
    return len(json.dumps(value, ensure_ascii=False).encode())


def unseal(
    model: type[BaseModel], task: str, payload: Mapping[str, Any] | str, secrets: bytes | None
) -> tuple[dict[str, Any], list[str]]:
    """Return the arguments of a row as the task takes them, and its secret texts.

    The payload may be JSON, as it comes from the row.

    Raises:
        PermanentError: the secrets cannot be decrypted with any key, or the arguments no longer
            fit the task.
    """
    hidden = opened(secrets)
    try:
        if isinstance(payload, str) and not hidden:
            checked = _checked(model, task, payload)
        else:
            given = json.loads(payload) if isinstance(payload, str) else payload
            checked = check(model, task, {**given, **hidden})
    except InvalidPayload as error:
        raise PermanentError(str(error)) from None
    # In the order of its parameters: the model takes no others.
    return checked.__dict__.copy(), list(hidden.values())


def opened(secrets: bytes | None) -> dict[str, str]:
    """Return the secret arguments; raises :class:`PermanentError` when no key decrypts them."""
    if secrets is None:
        return {}
    try:
        hidden: dict[str, str] = json.loads(_fernet().decrypt(bytes(secrets)))
    except InvalidToken:
        message = "The secret arguments cannot be decrypted: no key of JOBS_ENCRYPTION_KEYS fits."
        raise PermanentError(message) from None
    return hidden


@cache
def _fernet() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in jobs_settings().ENCRYPTION_KEYS])
