"""Whether the archives of the audit log are what their rows say: read again, entry by entry."""

import bisect
import gzip
import hashlib
import json
import zlib
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any

from django.core.files.storage import default_storage

from jobs.models import AuditArchive, AuditEntry

#: The folder of the archives in Django's default storage.
FOLDER = "audit"


@dataclass(kw_only=True)
class ArchivesRead:
    """What was found in the archives."""

    archives: int = 0
    entries: int = 0
    #: (name of the archive, what does not fit)
    problems: list[tuple[str, str]] = field(default_factory=list)
    #: Of the jobs asked for: id -> [(id of the entry, action)].
    histories: dict[str, list[tuple[int, str]]] = field(default_factory=lambda: defaultdict(list))


def read_archives(jobs: Collection[str] = ()) -> ArchivesRead:
    """Read all archives and check each against its row, the others and the table.

    Args:
        jobs: Ids of jobs whose archived entries are wanted.
    """
    read = ArchivesRead()
    runs: list[tuple[int, int, str]] = []
    for row in AuditArchive.objects.order_by("first_id", "id").iterator():
        read.archives += 1
        problems, entries = _contents(row)
        read.entries += len(entries)
        read.problems += [(row.name, problem) for problem in problems]
        own = list(_runs([entry["id"] for entry in entries]))
        runs += [(first, last, row.name) for first, last in own]
        read.problems += [(row.name, problem) for problem in _still_in_table(row, own)]
        for entry in entries:
            if entry["subject_type"] == "job" and entry["subject_id"] in jobs:
                read.histories[entry["subject_id"]].append((entry["id"], entry["action"]))
    read.problems += _in_two_archives(runs)
    return read


def unknown_files() -> list[str]:
    """Return the files among the archives that no row names: a crash left them, or a person."""
    known = set(AuditArchive.objects.values_list("name", flat=True))
    return sorted(set(_files(FOLDER)) - known)


def _files(folder: str) -> Iterator[str]:
    try:
        folders, files = default_storage.listdir(folder)
    except (FileNotFoundError, NotImplementedError):
        return
    for name in files:
        yield f"{folder}/{name}"
    for name in folders:
        yield from _files(f"{folder}/{name}")


def _contents(row: AuditArchive) -> tuple[list[str], list[dict[str, Any]]]:
    """Return what does not fit about the file, and its entries as far as they can be read."""
    try:
        with default_storage.open(row.name) as file:
            content = file.read()
    except FileNotFoundError:
        return ["its file is missing"], []
    problems = []
    if len(content) != row.size:
        problems.append(f"it has {len(content)} bytes, not {row.size}")
    if hashlib.sha256(content).hexdigest() != row.sha256:
        problems.append("its SHA-256 is another")
    try:
        lines = gzip.decompress(content).decode().split("\n")
        entries = [json.loads(line) for line in lines if line]
        told = _summary(entries)
    except (OSError, EOFError, zlib.error, ValueError, TypeError, KeyError) as error:
        return [*problems, f"it cannot be read: {error}"], []
    expected = (row.entries, row.first_id, row.last_id, row.first_at, row.last_at)
    problems += [
        f"{name} is {found}, not {wanted}"
        for name, found, wanted in zip(_SUMMARY, told, expected, strict=True)
        if found != wanted
    ]
    ids = [entry["id"] for entry in entries]
    if any(first >= second for first, second in pairwise(ids)):
        problems.append("its entries are not in the order of their ids")
    return problems, entries


_SUMMARY = ("the number of entries", "the first id", "the last id", "the first time", "the last")


def _summary(entries: list[dict[str, Any]]) -> tuple[object, ...]:
    if not entries:
        return (0, None, None, None, None)
    times = [datetime.fromisoformat(entry["at"]) for entry in entries]
    return (len(entries), entries[0]["id"], entries[-1]["id"], min(times), max(times))


def _runs(ids: list[int]) -> Iterator[tuple[int, int]]:
    """Yield (first, last) of the ids that follow each other without a gap."""
    start = previous = None
    for id_ in sorted(ids):
        if previous is None or start is None or id_ != previous + 1:
            if start is not None and previous is not None:
                yield start, previous
            start = id_
        previous = id_
    if start is not None and previous is not None:
        yield start, previous


def _still_in_table(row: AuditArchive, runs: list[tuple[int, int]]) -> Iterator[str]:
    """Between the first and the last entry of an archive, only others are left in the table."""
    left = AuditEntry.objects.filter(id__range=(row.first_id, row.last_id)).values_list(
        "id", flat=True
    )
    for id_ in left.order_by("id").iterator():
        at = bisect.bisect_right(runs, (id_, float("inf"))) - 1
        if at >= 0 and runs[at][0] <= id_ <= runs[at][1]:
            yield f"entry {id_} is still in the table"


def _in_two_archives(runs: list[tuple[int, int, str]]) -> Iterator[tuple[str, str]]:
    last, name = 0, ""
    for first, end, archive in sorted(runs):
        if first <= last:
            yield archive, f"entries from {first} to {min(end, last)} are in {name} too"
        if end > last:
            last, name = end, archive
