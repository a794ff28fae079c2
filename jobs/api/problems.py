"""How the API says what went wrong: ``{"detail": …, "problems": {field: …}}``."""

from collections.abc import Callable, Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist, RequestDataTooBig, TooManyFieldsSent
from django.http import HttpRequest, HttpResponse, JsonResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError
from pydantic import BaseModel

from jobs.errors import EnqueueError, InvalidPayload, NotPossible, UnknownName
from jobs.selectors import BadCursor


class Problem(BaseModel):
    """What went wrong; ``problems`` has one entry for each field that does not fit."""

    detail: str
    problems: dict[str, str] = {}


#: What every operation may answer besides its success.
REFUSALS: dict[int, Any] = dict.fromkeys((400, 401, 403, 404, 409, 413, 422), Problem)

#: What pydantic says of some misfits, in words that know no Python. The rest it says well.
_IN_WORDS = {
    "dict_type": "expected a JSON object",
    "extra_forbidden": "unknown field",
    "missing": "required, but not given",
    "model_attributes_type": "expected a JSON object",
    "model_type": "expected a JSON object",
    "string_pattern_mismatch": "expected text without NUL characters",
    "string_unicode": "expected text that UTF-8 can hold",
    "too_long": "expected {max_length} items at most, not {actual_length}",
}


class Unfit(Exception):
    """A field of the request names something that does not exist, or does not fit."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.problems = {field: message}


def _answer(status: int, detail: str, problems: dict[str, str] | None = None) -> HttpResponse:
    return JsonResponse({"detail": detail, "problems": problems or {}}, status=status)


def _unauthenticated(request: HttpRequest, error: Any) -> HttpResponse:
    response = _answer(401, "Log in, or send a valid bearer token.")
    response["WWW-Authenticate"] = "Bearer"
    return response


def _refused(request: HttpRequest, error: Any) -> HttpResponse:
    return _answer(error.status_code, str(error))


def _unfit_request(request: HttpRequest, error: Any) -> HttpResponse:
    problems = {_field(tuple(item["loc"])): _in_words(item) for item in error.errors}
    return _answer(422, "The request does not fit.", problems)


def _in_words(item: Mapping[str, Any]) -> str:
    words = _IN_WORDS.get(item["type"], str(item["msg"]))
    return words.format(**item["ctx"]) if item["type"] == "too_long" else words


def _field(location: tuple[Any, ...]) -> str:
    """``("body", "order", "payload", "sku")`` is the caller's ``payload.sku``."""
    names = [str(part) for part in location[1:]]
    if len(names) > 1 or location[0] == "body":
        names = names[1:]  # the name of the view's parameter
    return ".".join(names) or str(location[0])


def _too_large(request: HttpRequest, error: Any) -> HttpResponse:
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    return _answer(413, f"A request may have a body of {limit} bytes at most.")


def _too_many(request: HttpRequest, error: Any) -> HttpResponse:
    limit = settings.DATA_UPLOAD_MAX_NUMBER_FIELDS
    return _answer(400, f"A request may have {limit} parameters at most.")


def _unfit_field(request: HttpRequest, error: Any) -> HttpResponse:
    return _answer(422, str(error), error.problems)


def _unfit_payload(request: HttpRequest, error: Any) -> HttpResponse:
    problems = {f"payload.{field}": text for field, text in error.problems.items()}
    return _answer(422, str(error), problems)


def _bad_cursor(request: HttpRequest, error: Any) -> HttpResponse:
    names = [name for name in ("before", "after") if name in request.GET]
    return _answer(422, str(error), dict.fromkeys(names, str(error)))


def _with(status: int) -> Callable[[HttpRequest, Any], HttpResponse]:
    return lambda request, error: _answer(status, str(error))


#: The most specific class of an error decides.
_HANDLERS: dict[type[Exception], Callable[[HttpRequest, Any], HttpResponse]] = {
    AuthenticationError: _unauthenticated,
    HttpError: _refused,
    ValidationError: _unfit_request,
    RequestDataTooBig: _too_large,
    TooManyFieldsSent: _too_many,
    Unfit: _unfit_field,
    InvalidPayload: _unfit_payload,
    BadCursor: _bad_cursor,
    UnknownName: _with(404),
    ObjectDoesNotExist: _with(404),
    EnqueueError: _with(422),
    NotPossible: _with(409),
}


def add_handlers(api: NinjaAPI) -> None:
    """Teach ``api`` to answer the errors of the engine."""
    for error, handler in _HANDLERS.items():
        api.add_exception_handler(error, handler)
