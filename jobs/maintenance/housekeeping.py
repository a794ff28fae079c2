"""What else a database needs at night: sessions that have expired go, and its statistics are fresh.

Options: none. Emits the log events ``sessions_cleared`` and ``table_analyzed``.
"""

from datetime import timedelta
from importlib import import_module

import structlog
from django.conf import settings
from django.db import connection

from jobs.maintenance.batches import Shift

log = structlog.get_logger(__name__)

#: It waits for nobody, and never takes the lock that giving pages back to the system needs.
_VACUUM = "VACUUM (ANALYZE, SKIP_LOCKED, TRUNCATE FALSE) {}"


def clear_sessions() -> None:
    """Delete the sessions that have expired, as their engine does it."""
    import_module(settings.SESSION_ENGINE).SessionStore.clear_expired()
    log.info("sessions_cleared")


def analyze(tables: list[str] | None = None) -> int:
    """Vacuum and analyze these tables, by default all; returns how many. Not in a transaction."""
    names = connection.introspection.table_names() if tables is None else tables
    shift = Shift(timedelta.max)
    for done, name in enumerate(names, start=1):
        with connection.cursor() as cursor:
            cursor.execute(_VACUUM.format(connection.ops.quote_name(name)))
        log.debug("table_analyzed", table=name)
        shift.go_on(done, len(names), name)
    return len(names)
