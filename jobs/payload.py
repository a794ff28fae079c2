"""The arguments of a task: checked, turned into JSON, and their secrets encrypted.

A task's annotated keyword-only parameters become a pydantic model. Arguments are checked in strict
mode, after a trip through JSON, so that what is accepted at enqueue is what arrives at the run:
``"5"`` is no ``int``, ``"2026-11-21"`` is a ``date``.
"""

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, get_type_hints

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError, create_model
from pydantic_core import PydanticSerializationError, to_json

from jobs.conf import jobs_settings
from jobs.errors import InvalidPayload, PayloadTooLarge, PermanentError

MASK = "**********"


@dataclass(frozen=True)
class Sealed:
    """Arguments as a job's row keeps them."""

    #: JSON for ``Job.payload``; secret arguments are masked.
    payload: dict[str, Any]
    #: Encrypted JSON of the secret arguments, or None.
    secrets: bytes | None


def model_of(function: Callable[..., Any], name: str) -> type[BaseModel]:
    """Return the model of the function's parameters.

    Raises:
        TypeError: a parameter is not keyword-only, has no annotation, or hides a secret inside
            another type, where it could not be encrypted.
    """
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY or parameter.name not in hints:
            raise TypeError(
                f"{name}: parameter {parameter.name!r} must be keyword-only and annotated"
            )
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (hints[parameter.name], default)
    config = ConfigDict(extra="forbid", strict=True, title=name)
    model = create_model(f"{name} arguments", __config__=config, **fields)
    if '"writeOnly": true' in json.dumps(model.model_json_schema().get("$defs", {})):
        raise TypeError(f"{name}: a secret must be a parameter of its own")
    return model


def _revealed(value: Any) -> Any:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def check(model: type[BaseModel], task: str, arguments: Mapping[str, Any]) -> BaseModel:
    """Return the checked arguments; raises :class:`InvalidPayload` naming each bad field."""
    try:
        raw = to_json(
            {key: _revealed(value) for key, value in arguments.items()}, inf_nan_mode="null"
        )
    except (PydanticSerializationError, ValueError, TypeError) as error:
        raise InvalidPayload(task, _not_json(arguments) or {"payload": str(error)}) from None
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        problems = {
            ".".join(str(part) for part in item["loc"]) or "payload": _expected(item, model)
            for item in error.errors(include_input=False, include_url=False)
        }
        raise InvalidPayload(task, problems) from None


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
            to_json(_revealed(value))
        except (PydanticSerializationError, ValueError, TypeError):
            problems[key] = f"expected something JSON can hold, not {type(value).__name__}"
    return problems


def seal(task: str, checked: BaseModel) -> Sealed:
    """Turn checked arguments into what the row keeps.

    Raises:
        PayloadTooLarge: they take more bytes of JSON than ``PAYLOAD_LIMIT_BYTES``.
        InvalidPayload: a text has a NUL character, which PostgreSQL cannot keep.
    """
    values = {name: getattr(checked, name) for name in type(checked).model_fields}
    hidden = {k: v.get_secret_value() for k, v in values.items() if isinstance(v, SecretStr)}
    payload: dict[str, Any] = checked.model_dump(mode="json")
    nul = [key for key, value in payload.items() if "\\u0000" in json.dumps(value)]
    if nul:
        raise InvalidPayload(task, dict.fromkeys(nul, "expected text without NUL characters"))
    size = len(json.dumps(payload).encode()) + sum(len(value) for value in hidden.values())
    limit = jobs_settings().PAYLOAD_LIMIT_BYTES
    if size > limit:
        largest = max(payload, key=lambda key: len(json.dumps(payload[key])))
        message = (
            f"takes most of {size} bytes, and a job may take {limit}; "
            "store the data and pass its id"
        )
        raise PayloadTooLarge(task, {largest: message})
    return Sealed(payload, _fernet().encrypt(json.dumps(hidden).encode()) if hidden else None)


def unseal(
    model: type[BaseModel], task: str, payload: Mapping[str, Any], secrets: bytes | None
) -> tuple[dict[str, Any], list[str]]:
    """Return the arguments of a row as the task takes them, and its secret texts.

    Raises:
        PermanentError: the secrets cannot be decrypted with any key, or the arguments no longer
            fit the task.
    """
    hidden: dict[str, str] = {}
    if secrets is not None:
        try:
            hidden = json.loads(_fernet().decrypt(bytes(secrets)))
        except InvalidToken:
            message = (
                "The secret arguments cannot be decrypted: no key of JOBS_ENCRYPTION_KEYS fits."
            )
            raise PermanentError(message) from None
    try:
        checked = check(model, task, {**payload, **hidden})
    except InvalidPayload as error:
        raise PermanentError(str(error)) from None
    values = {name: getattr(checked, name) for name in type(checked).model_fields}
    return values, list(hidden.values())


@cache
def _fernet() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in jobs_settings().ENCRYPTION_KEYS])
