"""Sessions at PostgreSQL: how they are set up, and how those of dead workers end.

A host that freezes or loses its power closes no connection. PostgreSQL would keep its transactions
open, and with them the locks of its jobs and gates, until TCP gives up: after hours. So a session
of a worker carries the worker's id in its name, and once the worker is taken for dead, the lifeline
has PostgreSQL end what it has open. Whoever wakes up finds its transaction rolled back.
"""

import os
from uuid import UUID

import structlog
from django.db.backends.base.base import BaseDatabaseWrapper

from jobs.conf import jobs_settings
from jobs.sql import fetch, is_pooled

log = structlog.get_logger(__name__)

#: Seconds until PostgreSQL asks whether an idle peer lives; between its questions; how many.
_KEEPALIVES = (15, 5, 3)
#: Leases for which a silent worker's sessions are looked for.
_LEASES = 20

_SETTINGS = """
    SELECT set_config('plan_cache_mode', 'force_generic_plan', false),
           set_config('tcp_keepalives_idle', %s, false),
           set_config('tcp_keepalives_interval', %s, false),
           set_config('tcp_keepalives_count', %s, false)
"""
_NAME = """
    SELECT set_config(
        'application_name', left(current_setting('application_name'), 26) || ' ' || %s, false)
    WHERE NOT right(current_setting('application_name'), 36) = %s
"""
_SILENT = f"""
    SELECT id::text FROM jobs_worker
    WHERE stopped_at IS NULL AND heartbeat_at < clock_timestamp() - %s::interval
      AND heartbeat_at > clock_timestamp() - %s::interval * {_LEASES}
"""
_END = """
    SELECT pid, right(application_name, 36), extract(epoch FROM clock_timestamp() - xact_start),
           pg_terminate_backend(pid)
    FROM pg_stat_activity
    WHERE right(application_name, 36) = ANY(%s) AND xact_start IS NOT NULL
      AND usename = current_user AND datname = current_database() AND NOT pid = pg_backend_pid()
"""


def set_up(connection: BaseDatabaseWrapper, **_: object) -> None:
    """Prepare a new connection (a signal handler).

    Prepared statements are planned once; a worker's session carries its id. Behind a pooler, whose
    server connections are not ours, only the latter.
    """
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        if not is_pooled(connection):
            cursor.execute(_SETTINGS, [str(number) for number in _KEEPALIVES])
        if worker := os.environ.get("JOBS_WORKER_ID"):
            cursor.execute(_NAME, [worker, worker])


def end_those_of_silent_workers() -> int:
    """End the open transactions of workers whose heartbeat is older than ``LEASE``, by their end.

    Returns how many sessions were ended.
    """
    lease = jobs_settings().LEASE
    silent = [row[0] for row in fetch(_SILENT, [lease, lease])]
    if not silent:
        return 0
    ended = fetch(_END, [silent])
    for pid, worker, seconds, _ in ended:
        log.warning(
            "session_ended",
            worker=str(UUID(worker)),
            backend=pid,
            open_for=round(float(seconds), 1),
            reason="its worker sends no heartbeat",
        )
    return len(ended)
