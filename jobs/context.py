"""On whose behalf code runs: tenant, actor and correlation id, carried by context variables.

A web request, a command, a job: each opens a context; the jobs enqueued inside inherit it, and
every log line carries it.
"""

import re
import uuid
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpRequest, HttpResponse

CORRELATION_HEADER = "X-Request-ID"
#: What the columns of an actor hold; a name alone may be as long.
_ACTOR_CHARACTERS = 150
_CORRELATION_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")


@dataclass(frozen=True, kw_only=True)
class Context:
    """Who asked, for which tenant, in the course of what."""

    tenant: str = ""
    correlation_id: str = ""
    #: Resolved when needed: a request's user costs a query.
    who: Callable[[], str] = field(default=lambda: "system")

    @property
    def actor(self) -> str:
        """``user:<name>``, ``job:<id>``, ``schedule:<name>`` or ``system``."""
        return self.who()


_context: ContextVar[Context] = ContextVar("jobs_context", default=Context())  # noqa: B039


#: What its log lines carry.
_told: ContextVar[dict[str, Any]] = ContextVar("jobs_told", default={})  # noqa: B039 - never changed


def current_context() -> Context:
    """Return the context this code runs in."""
    return _context.get()


class entered:  # noqa: N801 - it is called, as a function is
    """Run the block in ``context``, which its log lines name, with what is ``told``.

    Each job is run in one: a class costs it a third of what a generator would.
    """

    __slots__ = ("_context", "_context_before", "_told", "_told_before")

    def __init__(self, context: Context, **told: Any) -> None:
        self._context, self._told = context, told

    def __enter__(self) -> Context:
        """Begin it."""
        context, told = self._context, self._told
        if context.tenant:
            told["tenant"] = context.tenant
        if context.correlation_id:
            told["correlation_id"] = context.correlation_id
        self._context_before = _context.set(context)
        self._told_before = _told.set(_told.get() | told)
        return context

    def __exit__(self, *_: object) -> None:
        """Be again where it began."""
        _told.reset(self._told_before)
        _context.reset(self._context_before)


def job_context(
    *,
    tenant: str | None = None,
    actor: str | None = None,
    correlation_id: str | None = None,
    **told: Any,
) -> entered:
    """Run the block for this tenant, actor and correlation id; what is None stays as it was.

    Its log lines also carry what is ``told``.
    """
    was = _context.get()
    context = Context(
        tenant=was.tenant if tenant is None else tenant,
        correlation_id=was.correlation_id if correlation_id is None else correlation_id,
        who=was.who if actor is None else lambda: actor,
    )
    return entered(context, **told)


def add_context(_logger: Any, _method: str, line: dict[str, Any]) -> dict[str, Any]:
    """Add to a log line what the context tells; a processor of structlog's."""
    return _told.get() | line


class CorrelationMiddleware:
    """Give each request a correlation id: the caller's ``X-Request-ID`` when sane, else a new one.

    It must stand behind Django's ``AuthenticationMiddleware``: the actor is the request's user.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer the request inside its context."""
        given = request.headers.get(CORRELATION_HEADER, "")
        correlation_id = given if _CORRELATION_ID.fullmatch(given) else uuid.uuid4().hex

        def who() -> str:
            user = getattr(request, "user", None)
            if not user or not user.is_authenticated:
                return "anonymous"
            return f"user:{user.get_username()}"[:_ACTOR_CHARACTERS]

        with entered(Context(correlation_id=correlation_id, who=who)):
            response = self.get_response(request)
        response.headers[CORRELATION_HEADER] = correlation_id
        return response
