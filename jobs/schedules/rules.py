"""What is done about instants that are due: which are run, which are passed by and why."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from jobs.schedules.models import Missed
from jobs.schedules.timing import Timing

#: An instant that is seen to later than this was missed.
LATE_AFTER = timedelta(minutes=1)
#: Instants passed by that are told one by one; those before them share a row.
TOLD = 100
#: Instants beyond their grace that are counted one by one; of more, only the last ones.
COUNTED = 10_000


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How an operator wants instants to be seen to that nobody saw in time."""

    missed: Missed = Missed.ONCE
    missed_limit: int = 10
    grace: timedelta = timedelta(hours=12)
    #: A job that has not begun so long after its instant is not worth running; None: it always is.
    expiry: timedelta | None = None
    #: Whether the schedule ends with its first run.
    one_off: bool = False


@dataclass(frozen=True, kw_only=True)
class Fire:
    """An instant whose job is enqueued."""

    due_at: datetime
    #: Why it is late, or what it stands for; empty: neither.
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Pass:
    """An instant that is not run, and those before it that share its row."""

    due_at: datetime
    reason: str
    instants: int = 1


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What is done now, and when to look again."""

    fires: list[Fire]
    passes: list[Pass]
    #: Everything up to here is seen to.
    seen_to: datetime
    #: None: never.
    next_at: datetime | None


def decide(
    timing: Timing,
    rules: Rules,
    *,
    after: datetime,
    now: datetime,
    overdue: datetime | None = None,
) -> Decision:
    """Decide about what is due later than ``after`` and not later than ``now``.

    ``overdue`` is an instant that was due before the schedule was changed, and not seen to.
    Raises :class:`~jobs.schedules.timing.BadTiming`.
    """
    oldest = now - rules.grace
    if rules.expiry is not None:
        oldest = max(oldest, now - rules.expiry)
    old, due, coming = _due(timing, after, now, oldest)
    if overdue is not None:
        if overdue > oldest:
            due.appendleft(overdue)
        else:
            old.add_before(overdue)
    passes = _old_ones(old, rules, now)
    fires: list[Fire] = []
    if due:
        fires, skipped = _choose(list(due), rules, now)
        passes = _joined(passes, skipped)
    seen = [after, *(one.due_at for one in fires), *(one.due_at for one in passes)]
    if old.count >= COUNTED:
        seen.append(oldest)
    return Decision(
        fires=fires,
        passes=passes,
        seen_to=max(seen),
        next_at=next(coming, None),
    )


@dataclass(kw_only=True)
class _Old:
    #: The last ones.
    listed: deque[datetime]
    count: int = 0

    def add_before(self, instant: datetime) -> None:
        self.count += 1
        if len(self.listed) < TOLD:
            self.listed.appendleft(instant)


def _due(
    timing: Timing, after: datetime, now: datetime, oldest: datetime
) -> tuple[_Old, deque[datetime], Iterator[datetime]]:
    """Return instants that are too old, those that are due, and an iterator of those to come."""
    old = _Old(listed=deque(maxlen=TOLD))
    due: deque[datetime] = deque()
    instants = timing.after(after)
    for instant in instants:
        if instant > now:
            return old, due, _chained(instant, instants)
        if instant > oldest:
            due.append(instant)
            continue
        old.listed.append(instant)
        old.count += 1
        if old.count == COUNTED:
            instants = timing.after(oldest)
            return old, *_rest(instants, now)
    return old, due, iter(())


def _rest(
    instants: Iterator[datetime], now: datetime
) -> tuple[deque[datetime], Iterator[datetime]]:
    due: deque[datetime] = deque()
    for instant in instants:
        if instant > now:
            return due, _chained(instant, instants)
        due.append(instant)
    return due, iter(())


def _chained(first: datetime, rest: Iterator[datetime]) -> Iterator[datetime]:
    yield first
    yield from rest


def _old_ones(old: _Old, rules: Rules, now: datetime) -> list[Pass]:
    if not old.count:
        return []
    listed = list(old.listed)
    reason = f"late by more than its grace of {rules.grace}"
    if rules.expiry is not None and rules.expiry < rules.grace:
        reason = f"late by more than its expiry of {rules.expiry}"
    if old.count >= COUNTED:
        reason += f"; more of them up to {now - rules.grace:%Y-%m-%d %H:%M} UTC were not counted"
    first, *others = (Pass(due_at=due_at, reason=reason) for due_at in listed)
    shared = Pass(due_at=first.due_at, reason=reason, instants=max(1, old.count - len(listed) + 1))
    return [shared, *others]


def _choose(due: list[datetime], rules: Rules, now: datetime) -> tuple[list[Fire], list[Pass]]:
    """Choose among instants within their grace, of which there is one at least."""
    if rules.missed == Missed.SKIP:
        missed = [one for one in due if now - one > LATE_AFTER]
        passes = [Pass(due_at=one, reason="missed, and its rule is to skip") for one in missed]
        if rules.one_off:
            return [_fire(one, now, 0) for one in due[len(missed) :][:1]], passes
        fires = [_fire(one, now, 0) for one in due[len(missed) :][-1:]]
        in_time = due[len(missed) : -1]
        passes += [Pass(due_at=one, reason="a later one is due already") for one in in_time]
        return fires, passes
    if rules.one_off:
        return [_fire(due[0], now, 0)], []
    kept = rules.missed_limit if rules.missed == Missed.ALL else 1
    left, chosen = due[:-kept], due[-kept:]
    why = "the run of a later one stands for it"
    if rules.missed == Missed.ALL:
        why = f"more than the {kept} that its rule runs were missed"
        return [_fire(one, now, 0) for one in chosen], [
            Pass(due_at=one, reason=why) for one in left
        ]
    return [_fire(chosen[0], now, len(left))], [Pass(due_at=one, reason=why) for one in left]


def _fire(due_at: datetime, now: datetime, stands_for: int) -> Fire:
    if now - due_at <= LATE_AFTER and not stands_for:
        return Fire(due_at=due_at)
    reason = "no beat ran at its time" if now - due_at > LATE_AFTER else ""
    if stands_for:
        reason = f"{reason}; it stands for {stands_for} missed before it".lstrip("; ")
    return Fire(due_at=due_at, reason=reason)


def _joined(old: list[Pass], skipped: list[Pass]) -> list[Pass]:
    """Return both, of the skipped ones the first in one row when there are too many."""
    if len(skipped) > TOLD:
        cut = len(skipped) - TOLD
        head = skipped[cut]
        shared = Pass(due_at=head.due_at, reason=head.reason, instants=cut + 1)
        skipped = [shared, *skipped[cut + 1 :]]
    return old + skipped
