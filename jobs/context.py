"""On whose behalf code runs: tenant, actor and correlation id, carried by context variables.

A web request, a command, a job: each opens a context; the jobs enqueued inside inherit it, and
every log line carries it.
"""

import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import structlog
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


def current_context() -> Context:
    """Return the context this code runs in."""
    return _context.get()


@contextmanager
def job_context(
    *,
    tenant: str | None = None,
    actor: str | None = None,
    correlation_id: str | None = None,
    **told: Any,
) -> Iterator[Context]:
    """Run the block for this tenant, actor and correlation id; what is None stays as it was.

    Its log lines also carry what is ``told``.
    """
    was = _context.get()
    named = actor
    context = Context(
        tenant=was.tenant if tenant is None else tenant,
        correlation_id=was.correlation_id if correlation_id is None else correlation_id,
        who=was.who if named is None else lambda: named,
    )
    with entered(context, **told):
        yield context


@contextmanager
def entered(context: Context, **told: Any) -> Iterator[None]:
    """Run the block in ``context``, which its log lines name, with what is ``told``."""
    token = _context.set(context)
    if context.tenant:
        told["tenant"] = context.tenant
    if context.correlation_id:
        told["correlation_id"] = context.correlation_id
    bound = structlog.contextvars.bind_contextvars(**told)
    try:
        yield
    finally:
        structlog.contextvars.reset_contextvars(**bound)
        _context.reset(token)


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
