#!/usr/bin/env python
"""Exits with 0 when a worker of this host has given a heartbeat lately: a container's health check.

It asks PostgreSQL directly; starting Django for it would cost a second of CPU every time.
"""

import os
import socket
import sys

import psycopg

#: Far beyond the lease: whoever is silent for so long has lost its jobs to others already.
SILENT_FOR = "90 seconds"


def main() -> int:
    """Look at the heartbeats; answer the exit code."""
    try:
        with psycopg.connect(os.environ["DATABASE_URL"], connect_timeout=5) as connection:
            found = connection.execute(
                "SELECT count(*) FROM jobs_worker WHERE host = %s AND stopped_at IS NULL"
                " AND heartbeat_at > now() - %s::interval",
                [socket.gethostname(), SILENT_FOR],
            ).fetchone()
    except (KeyError, psycopg.Error) as error:
        print(f"cannot ask PostgreSQL: {error!r}", file=sys.stderr)
        return 1
    return 0 if found and found[0] else 1


if __name__ == "__main__":
    sys.exit(main())
