"""The instant from which maintenance counts: now, or when a past day began in UTC.

Now is the database's, and nothing counts from later than that: so nothing goes before its time.
"""

from datetime import UTC, date, datetime, time

from django.db import connection

from jobs.errors import DayToCome

#: In SQL: when the past day began; NULL: it is now. ``as_of`` is what :func:`beginning` returns.
THEN = "%(as_of)s::timestamptz"

#: In SQL: the instant. LEAST takes no notice of NULL.
INSTANT = f"LEAST({THEN}, now())"

#: In SQL: before it is what was to be kept for so long.
BEFORE = f"({INSTANT} - %(keep)s)"

#: The same for people.
BEFORE_IN_WORDS = f"to_char({BEFORE} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS \"UTC\"')"

# Nowhere has a day begun earlier than at UTC+14.
_TODAY = """
    SELECT (now() AT TIME ZONE 'UTC')::date,
           (now() AT TIME ZONE 'UTC' + interval '14 hours')::date
"""


def beginning(day: date | None) -> datetime | None:
    """Return when a past day began in UTC; None: count from now.

    That is so for no day, for today, and for one that has begun in another zone, which may be the
    schedule's.

    Raises:
        DayToCome: it has begun nowhere.
    """
    if day is None:
        return None
    with connection.cursor() as cursor:
        cursor.execute(_TODAY)
        today, latest = cursor.fetchone()
    if day > latest:
        raise DayToCome("as_of", day, today)
    return datetime.combine(day, time.min, UTC) if day < today else None
