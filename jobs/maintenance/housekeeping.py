"""What else a database needs at night: sessions that have expired go, and its statistics are fresh.

Options: none. Emits the log events ``sessions_cleared`` and ``table_analyzed``.
"""

from datetime import date, timedelta
from importlib import import_module
from typing import Any

import structlog
from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.db import connection

from jobs.dry_run import tell
from jobs.maintenance.batches import BUDGET, Shift, bounded
from jobs.maintenance.instant import BEFORE, BEFORE_IN_WORDS, beginning
from jobs.maintenance.leftovers import Leftover

log = structlog.get_logger(__name__)

#: Sessions that are deleted in one transaction.
BATCH = 2_000

#: It waits for nobody, and never takes the lock that giving pages back to the system needs.
_VACUUM = "VACUUM (ANALYZE, SKIP_LOCKED, TRUNCATE FALSE) {}"


def clear_sessions(
    *, as_of: date | None = None, budget: timedelta = BUDGET, batch: int = BATCH
) -> int | None:
    """Delete the sessions that have expired; returns how many.

    An engine that does not keep them in the database clears what has expired in its own way,
    whichever day it is for: None is returned.

    Args:
        as_of: None or today: what has expired. A past day: what had when it began in UTC.
        budget: For how long this run goes on.
        batch: Sessions in one transaction.

    Raises:
        DayToCome: ``as_of`` has not begun.
        RetryLater: there is more to do than ``budget`` allows; call it again.
    """
    instant, sessions = beginning(as_of), _sessions()
    if sessions is None:
        _engine().clear_expired()
        log.info("sessions_cleared")
        return None
    shift, gone = Shift(budget), 0
    for count in sessions.delete(instant, batch):
        gone += count
        shift.go_on(gone, gone, "sessions")
    log.info("sessions_cleared", sessions=gone)
    return gone


def preview_sessions(*, as_of: date | None = None) -> int | None:
    """Return what :func:`clear_sessions` would, and tell of it."""
    instant, sessions = beginning(as_of), _sessions()
    if sessions is None:
        return None
    sql = f"SELECT count(*), {BEFORE_IN_WORDS} FROM {sessions.table} AS t WHERE {sessions.old}"
    with bounded(), connection.cursor() as cursor:
        cursor.execute(sql, sessions.values(instant))
        count, before = cursor.fetchone()
    if count:
        tell("sessions", count=count, before=before)
    return int(count)


def _engine() -> Any:
    return import_module(settings.SESSION_ENGINE).SessionStore


def _sessions() -> Leftover | None:
    """Return the expired sessions; None: they are not in the database."""
    engine = _engine()
    if not issubclass(engine, SessionStore):
        return None
    table = connection.ops.quote_name(engine.get_model_class()._meta.db_table)
    return Leftover(
        name="sessions", table=table, keep=timedelta(0), old=f"t.expire_date < {BEFORE}"
    )


def analyze(tables: list[str] | None = None) -> int:
    """Vacuum and analyze these tables, by default all; returns how many. Not in a transaction."""
    names = _tables() if tables is None else tables
    shift = Shift(timedelta.max)
    for done, name in enumerate(names, start=1):
        with connection.cursor() as cursor:
            cursor.execute(_VACUUM.format(connection.ops.quote_name(name)))
        log.debug("table_analyzed", table=name)
        shift.go_on(done, len(names), name)
    return len(names)


def preview_analyze() -> int:
    """Return what :func:`analyze` would, and tell of each table."""
    names = _tables()
    for name in names:
        tell("table", table=name)
    return len(names)


def _tables() -> list[str]:
    return connection.introspection.table_names()
