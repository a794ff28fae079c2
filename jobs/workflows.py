"""How workflows go on: each job that ends starts what follows it, in the transaction of its end.

A success starts callbacks and the next of a chain; a chord's parts are counted in PostgreSQL, each
once, and the one that brings the count to zero starts the body. All that is only rows, so it
commits or rolls back with the settlement, and a lost message loses nothing of a workflow. Any other
end stops what would have followed (:mod:`jobs.workflow_failures`). What cannot be started is
inserted as dead: the success before it stands, and its replay goes on.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.db import transaction

from jobs import transitions
from jobs.ended import Ended, ended_jobs
from jobs.follow_ups import start
from jobs.records import Claimed, Settlement
from jobs.sql import fetch
from jobs.states import State
from jobs.weave import Weave, insert_what_can_be, weaving
from jobs.workflow_failures import stop

_COUNT_DOWN = """
    UPDATE jobs_group
    SET pending = pending - %s::int,
        finished_at = CASE WHEN pending <= %s::int THEN clock_timestamp() END
    WHERE id = %s::uuid RETURNING pending, shape, body
"""

_RESULTS = """
    SELECT id::text, group_index, result, replay_of_id::text, state
    FROM jobs_job WHERE group_id = %s::uuid ORDER BY group_index, id
"""


def start_next(settled: Iterable[tuple[Claimed, Settlement]]) -> None:
    """Start what follows these jobs. Part of the transaction that settled them."""
    go_on(job.id for job, _ in settled if job.leads_on)


def settle(settlements: Sequence[Settlement], *, actor: str | None = None) -> set[UUID]:
    """Record how attempts ended, as :func:`transitions.settle`, and go on with their workflows."""
    with transaction.atomic():
        settled = transitions.settle(settlements, actor=actor)
        go_on(settled)
        return settled


def expire(limit: int) -> int:
    """Cancel waiting jobs that are not worth running any more. Returns how many."""
    with transaction.atomic():
        expired = transitions.expire(limit)
        go_on(expired)
        return len(expired)


def go_on(ids: Iterable[UUID]) -> None:
    """Start what follows those of these jobs that are final; for whoever ended them.

    It belongs into the transaction in which they ended, and nowhere else: it does not look whether
    it was done before.
    """
    ended = ended_jobs(list(ids))
    while ended:
        weave = Weave(root_id="", continues=True)
        with weaving(weave):
            told: set[UUID] = set()
            for job in ended:
                if job.state != State.SUCCEEDED or job.stopped:
                    stop(weave, job, told)
                else:
                    _start_followers(weave, job)
            for last, body, results in _count_down(ended):
                start(weave, body, (results,), last)
        insert_what_can_be(weave)
        # What is dead at birth stops what would have followed it, in turn.
        ended = ended_jobs(transitions.insert_dead(weave.stillborn))


def _start_followers(weave: Weave, job: Ended) -> None:
    for callback in job.canvas.get("link", []):
        start(weave, callback, (job.result,), job)
    if chain := job.canvas.get("chain"):
        *rest, following = chain  # Celery keeps them in reverse
        start(weave, following, (job.result,), job, **({"chain": rest} if rest else {}))


def _count_down(ended: Sequence[Ended]) -> Iterable[tuple[Ended, dict[str, Any], list[Any]]]:
    """Count the parts of chords; yields the last part, the body and the results of complete ones.

    In the order of the groups' ids, so that settlements at the same time do not wait for each other
    in a circle.
    """
    parts: dict[UUID, list[Ended]] = {}
    for job in ended:
        if job.counts and job.group_id and job.state == State.SUCCEEDED and not job.stopped:
            parts.setdefault(job.group_id, []).append(job)
    for group_id in sorted(parts):
        number = len(parts[group_id])
        for pending, shape, body in fetch(_COUNT_DOWN, [number, number, str(group_id)]):
            if pending <= 0:
                results = _results(group_id, shape and json.loads(shape))
                yield parts[group_id][-1], json.loads(body), results


def _results(group_id: UUID, shape: list[Any] | None) -> list[Any]:
    """Return the results of a header in its order; a replay's stands for that of the dead job."""
    rows = fetch(_RESULTS, [str(group_id)])
    succeeded = [row for row in rows if row[4] == State.SUCCEEDED]
    if shape is None:
        return [row[2] and json.loads(row[2]) for row in succeeded]
    first = {row[0]: row[3] for row in rows}

    def original(job_id: str) -> str:
        while first.get(job_id) in first:
            job_id = first[job_id]
        return job_id

    by_id = {original(row[0]): row[2] and json.loads(row[2]) for row in succeeded}

    def filled(part: Any) -> Any:
        return [filled(item) for item in part] if isinstance(part, list) else by_id.get(part)

    return [filled(part) for part in shape]
