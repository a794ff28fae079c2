"""Each job beside its moves in the audit log, and whether the moves lead to what the job is."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace

from jobs.selectors.sql import fetch
from jobs.states import FINAL, TRANSITIONS, Move, State

#: Jobs in one statement, and so in one snapshot.
_CHUNK = 2_000

_MOVES = {f"job.{move}": move for move in Move}
_FINAL_MOVES = frozenset(move for move, (_, ends) in TRANSITIONS.items() if ends <= FINAL)

_JOBS = """
    SELECT j.id, j.state, j.attempt,
           (SELECT count(*) FROM jobs_attempt AS a WHERE a.job_id = j.id),
           EXISTS (SELECT 1 FROM jobs_deadletter AS l WHERE l.job_id = j.id),
           ARRAY(SELECT e.id || ' ' || e.action FROM jobs_auditentry AS e
                 WHERE e.subject_id = j.id::text AND e.subject_type = 'job' ORDER BY e.id)
    FROM (SELECT id, state, attempt FROM jobs_job
          WHERE id > %(after)s ORDER BY id LIMIT %(limit)s) AS j
    ORDER BY j.id
"""

# A replay is no move, but only what is dead can be replayed.
_VANISHED = """
    SELECT subject_id, action
    FROM (SELECT DISTINCT ON (e.subject_id) e.subject_id, e.action FROM jobs_auditentry AS e
          WHERE e.subject_type = 'job'
            AND (e.action = ANY(%(moves)s) OR e.action = 'letter.replayed')
          ORDER BY e.subject_id, e.id DESC) AS last
    WHERE NOT (action = ANY(%(final)s) OR action = 'letter.replayed')
      AND NOT EXISTS (SELECT 1 FROM jobs_job AS j WHERE j.id::text = last.subject_id)
"""


@dataclass(frozen=True, kw_only=True)
class History:
    """A job's row, and what the audit log says about it."""

    id: str
    state: State
    #: Executions begun, by its row.
    attempt: int
    #: Executions that ended: rows.
    attempts: int
    has_letter: bool
    #: (id of the entry, action), in order.
    entries: tuple[tuple[int, str], ...]

    @property
    def is_complete(self) -> bool:
        """Whether it begins with the enqueueing; otherwise its beginning is archived, or lost."""
        return bool(self.entries) and _MOVES.get(self.entries[0][1]) == Move.ENQUEUED

    def with_archived(self, entries: list[tuple[int, str]]) -> "History":
        """Return it with these entries, too; one that stands in both places counts once."""
        return replace(self, entries=tuple(sorted({*entries, *self.entries})))

    def problems(self) -> list[str]:
        """Return what does not fit; nothing when the moves lead to the row."""
        found = []
        reached: frozenset[State] = frozenset()
        claims = ends = finals = 0
        for action in self._moves():
            starts, ends_in = TRANSITIONS[action]
            if action == Move.DISCARDED and State.DEAD in reached:
                continue  # a person's decision about the dead letter goes by the same name
            if not (starts & reached if starts else not reached):
                found.append(f"{action} when it was {_told(reached)}")
            claims += action == Move.CLAIMED
            ends += reached == {State.RUNNING}
            finals += action in _FINAL_MOVES
            reached = ends_in
        if self.state not in reached:
            found.append(f"it is {self.state}, but its moves lead to {_told(reached)}")
        if claims != self.attempt:
            found.append(f"it was claimed {claims} times, but has begun {self.attempt} attempts")
        if ends != self.attempts:
            found.append(f"{ends} attempts ended, but {self.attempts} are kept")
        if finals > 1 or (finals and self.state not in FINAL):
            found.append(f"it has {finals} final moves and is {self.state}")
        if self.has_letter != (self.state == State.DEAD):
            found.append(
                f"it is {self.state} {'and' if self.has_letter else 'without'} a dead letter"
            )
        return found

    def _moves(self) -> list[Move]:
        return [_MOVES[action] for _, action in self.entries if action in _MOVES]


def histories() -> Iterator[History]:
    """Yield every job with what the table says about it."""
    after = uuid.UUID(int=0)
    while True:
        rows = fetch(_JOBS, {"after": after, "limit": _CHUNK})
        for id_, state, attempt, attempts, has_letter, entries in rows:
            told = (entry.split(" ", 1) for entry in entries)
            yield History(
                id=str(id_),
                state=State(state),
                attempt=attempt,
                attempts=attempts,
                has_letter=has_letter,
                entries=tuple((int(number), action) for number, action in told),
            )
        if len(rows) < _CHUNK:
            return
        after = rows[-1][0]


def vanished() -> list[tuple[str, str]]:
    """Return (id, last action) of the jobs that have no row, and whose entries do not end."""
    final = [f"job.{move}" for move in _FINAL_MOVES]
    return [
        (id_, action) for id_, action in fetch(_VANISHED, {"moves": list(_MOVES), "final": final})
    ]


def _told(states: frozenset[State]) -> str:
    return " or ".join(sorted(states)) or "not there"
