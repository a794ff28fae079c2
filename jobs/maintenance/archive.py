"""The archiver moves old audit entries from their table to compressed files.

Option: ``AUDIT_KEEP`` (see :mod:`jobs.conf`). Entries of unfinished jobs stay. A file of Django's
default storage holds up to ``ENTRIES`` of them, one line of JSON each, oldest first:
``audit/<year>/entries-<first id>-<last id>-<hash>.jsonl.gz``. It is written, kept safe from a power
cut, read back and compared before the entries are deleted, and the deletion commits together with
the row that names the file. So a crash leaves either the entries or the file with its row; at worst
both, a file that no row names. One archiver works at a time. Emits the log event ``audit_archived``
and the audit entry ``audit.archived``.
"""

import gzip
import hashlib
import os
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import structlog
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection

from jobs import audit
from jobs.conf import jobs_settings
from jobs.dry_run import tell
from jobs.errors import JobsError, RetryLater
from jobs.maintenance.batches import BUDGET, PAUSE, Shift, bounded
from jobs.maintenance.instant import BEFORE, BEFORE_IN_WORDS, THEN, beginning
from jobs.models import AuditArchive

log = structlog.get_logger(__name__)

#: In one file, and in one transaction.
ENTRIES = 20_000

#: The number of the lock that the one archiver holds, while it makes one file.
_LOCK = 0x6A6F6273_61756469

#: Says of the entry ``e`` that it goes: it is old, and its job is not unfinished, now or then.
_GOES = f"""
    e.at < {BEFORE}
    AND NOT EXISTS (
        SELECT 1 FROM jobs_job AS j
        WHERE e.subject_type = 'job'
          AND (j.state IN ('scheduled', 'available', 'queued', 'running')
               OR j.finished_at >= {THEN})
          AND j.id = CASE WHEN e.subject_id ~ '^[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}$'
                     THEN e.subject_id::uuid END)
"""

#: In the order of their ids, up to where those begin that are too young (ids and times have not
#: quite the same order): so none of the young ones is read.
_OLD = f"""
    SELECT e.id, e.at, row_to_json(e)::text
    FROM jobs_auditentry AS e
    WHERE e.id <= (SELECT max(id) FROM (SELECT id FROM jobs_auditentry WHERE at < {BEFORE}
                                        ORDER BY at DESC, id DESC LIMIT 1000) AS newest)
      AND {_GOES}
    ORDER BY e.id LIMIT %(limit)s
"""

#: The files that they would make, in the order of their ids.
_FILES = f"""
    SELECT count(*), min(id), max(id), to_char(min(at) AT TIME ZONE 'UTC', 'YYYY'),
           to_char(max(at) AT TIME ZONE 'UTC', 'YYYY'), {BEFORE_IN_WORDS}
    FROM (SELECT e.id, e.at, (row_number() OVER (ORDER BY e.id) - 1) / %(limit)s AS file
          FROM jobs_auditentry AS e WHERE {_GOES}) AS numbered
    GROUP BY file ORDER BY file
"""

_EXPECTED = f"SELECT count(*) FROM jobs_auditentry WHERE at < {BEFORE}"


class NotKept(JobsError):
    """What was written to the storage is not what was read back from it; nothing was deleted."""


@dataclass(frozen=True)
class Entry:
    """An audit entry as its line in the file."""

    id: int
    at: datetime
    #: Made by PostgreSQL, so that numbers keep all their digits.
    line: str


def archive(
    *, as_of: date | None = None, budget: timedelta = BUDGET, entries: int = ENTRIES
) -> int:
    """Move entries past ``AUDIT_KEEP`` to files; returns how many. Safe to call again at any time.

    Args:
        as_of: None or today: what is past it now. A past day: what was so when it began in UTC.
        budget: For how long this run goes on.
        entries: In one file.

    Raises:
        DayToCome: ``as_of`` has not begun.
        RetryLater: another archiver is at work, or there is more to do than ``budget`` allows; call
            it again.
        NotKept: a file did not come back from the storage as it was written.
    """
    values = _values(as_of, entries)
    shift, done, expected = Shift(budget), 0, _expected(values)
    while count := _archive_once(values):
        done += count
        shift.go_on(done, expected, "audit entries")
    return done


def preview(*, as_of: date | None = None, entries: int = ENTRIES) -> int:
    """Return what :func:`archive` would, and tell of each file that it would write."""
    done = 0
    with bounded(), connection.cursor() as cursor:
        cursor.execute(_FILES, _values(as_of, entries))
        for count, first_id, last_id, year, last_year, before in cursor.fetchall():
            done += count
            years = year if year == last_year else f"{year} to {last_year}"
            ids = {"first_id": first_id, "last_id": last_id}
            tell("audit archive", entries=count, **ids, of=years, before=before)
    return done


def _values(as_of: date | None, limit: int) -> dict[str, Any]:
    return {"as_of": beginning(as_of), "keep": jobs_settings().AUDIT_KEEP, "limit": limit}


def _archive_once(values: dict[str, Any]) -> int:
    """Make one file; returns how many entries it took."""
    with bounded():
        if not _is_alone():
            raise RetryLater("Another archiver is at work.", after=PAUSE)
        entries = _select(values)
        if not entries:
            return 0
        name, content = packed(entries)
        _keep(name, content)
        _compare(name, content, entries)
        row = AuditArchive.objects.create(
            name=name,
            first_id=entries[0].id,
            last_id=entries[-1].id,
            entries=len(entries),
            first_at=min(entry.at for entry in entries),
            last_at=max(entry.at for entry in entries),
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
        )
        _delete(row, entries)
        detail = {"entries": row.entries, "first_id": row.first_id, "last_id": row.last_id}
        audit.record(
            action="audit.archived",
            subject_type="audit_archive",
            subject_id=str(row.id),
            detail=detail | {"name": name, "sha256": row.sha256},
        )
    log.info("audit_archived", name=name, entries=len(entries), bytes=len(content))
    return len(entries)


def packed(entries: list[Entry]) -> tuple[str, bytes]:
    """Return the name and the content of the file with these entries: always the same for them."""
    text = _text(entries)
    digest = hashlib.sha256(text).hexdigest()[:12]
    first, last = entries[0], entries[-1]
    name = f"audit/{first.at:%Y}/entries-{first.id}-{last.id}-{digest}.jsonl.gz"
    return name, gzip.compress(text, mtime=0)


def _text(entries: list[Entry]) -> bytes:
    return "".join(f"{entry.line}\n" for entry in entries).encode()


def _keep(name: str, content: bytes) -> None:
    """Write the file so that it survives a power cut. One that a crash cut short is replaced."""
    found = _read(name)
    if found != content:
        if found is not None:
            default_storage.delete(name)
        saved = default_storage.save(name, ContentFile(content))
        if saved != name:
            default_storage.delete(saved)
            raise NotKept(f"The storage does not keep {name!r} under its name; its entries stay.")
    try:
        path = Path(default_storage.path(name))
    except NotImplementedError:
        return  # no file of this host: the storage has said that it is kept
    for place in (path, *path.parents[: len(Path(name).parts)]):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _read(name: str) -> bytes | None:
    try:
        with default_storage.open(name) as file:
            return bytes(file.read())
    except FileNotFoundError:
        return None


def _compare(name: str, content: bytes, entries: list[Entry]) -> None:
    found = _read(name)
    if found != content or gzip.decompress(found) != _text(entries):
        raise NotKept(f"{name!r} was not read back as it was written; its entries stay.")


def _is_alone() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        (locked,) = cursor.fetchone()
        return bool(locked)


def _select(values: dict[str, Any]) -> list[Entry]:
    with connection.cursor() as cursor:
        cursor.execute(_OLD, values)
        return [Entry(*row) for row in cursor.fetchall()]


def _delete(row: AuditArchive, entries: list[Entry]) -> None:
    """Delete what the row says is archived; the database's trigger compares it with the row."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('jobs.archiving', %s, true)", [str(row.id)])
        cursor.execute(
            "DELETE FROM jobs_auditentry WHERE id = ANY(%s)", [[entry.id for entry in entries]]
        )
        cursor.execute("SELECT set_config('jobs.archiving', '', true)")


def _expected(values: dict[str, Any]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(_EXPECTED, values)
        (count,) = cursor.fetchone()
        return int(count)
