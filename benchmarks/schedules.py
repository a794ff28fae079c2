"""``python -m benchmarks.schedules``: what a look for due schedules costs, with many of them.

A look with nothing due is set beside an empty query on the same connection, by turns; then many
schedules are overdue at once, and the look that sees to them is timed. The plans are printed.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks import arguments, servers

#: What the product promises: milliseconds of a look beyond an empty query.
BEYOND_MS = 5.0

_FILL = """
    WITH crontab AS (
        INSERT INTO django_celery_beat_crontabschedule
            (minute, hour, day_of_week, day_of_month, month_of_year, timezone)
        SELECT (n %% 60)::text, (n / 60 %% 24)::text, '*', '*', '*', zone
        FROM generate_series(0, %(schedules)s - 1) AS n,
             LATERAL (SELECT (ARRAY['UTC', 'Asia/Tokyo', 'America/Lima'])[n %% 3 + 1] AS zone)
        RETURNING id
    )
    INSERT INTO django_celery_beat_periodictask
        (name, task, crontab_id, args, kwargs, enabled, one_off, total_run_count, date_changed,
         description, headers)
    SELECT 'bench ' || id, 'jobs.probe', id, '[]', '{"label": "bench"}', true, false, 0, now(), '',
        '{}'
    FROM crontab
"""


def main() -> None:
    """Start servers, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.schedules", description=__doc__)
    parser.add_argument("--schedules", type=arguments.count, default=10_000)
    parser.add_argument("--looks", type=arguments.count, default=300)
    parser.add_argument(
        "--due", type=arguments.count, default=1_000, help="schedules overdue at once"
    )
    options = parser.parse_args()
    with servers.for_a_moment():
        kept = measure(options.schedules, options.looks, options.due)
    sys.exit(0 if kept else 1)


def measure(schedules: int, looks: int, due: int) -> bool:
    """Measure and print; returns whether the promise was kept."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from jobs.schedules import scheduler

    call_command("migrate", verbosity=0, interactive=False)
    with connection.cursor() as cursor:
        cursor.execute(_FILL, {"schedules": schedules})
        began = time.perf_counter()
        scheduler.tick()
        print(f"{schedules} schedules planned in {time.perf_counter() - began:.1f} s")
        cursor.execute("ANALYZE")
        _explain(cursor, scheduler._NEXT)
        found: dict[str, list[float]] = {"empty query": [], "look with none due": []}
        for _ in range(looks):
            found["empty query"].append(_timed(lambda: cursor.execute("SELECT 1")))
            found["look with none due"].append(_timed(scheduler.tick))
        medians = {what: statistics.median(times) * 1e3 for what, times in found.items()}
        for what, times in found.items():
            p99 = sorted(times)[int(len(times) * 0.99)] * 1e3
            print(f"{what:20} median {medians[what]:.3f} ms, p99 {p99:.3f} ms")
        cursor.execute(
            "UPDATE jobs_schedule SET wake_at = now(), plan_after = now() - interval '1 day' "
            "WHERE periodic_task_id IN "
            "(SELECT periodic_task_id FROM jobs_schedule ORDER BY 1 LIMIT %s)",
            [due],
        )
        began = time.perf_counter()
        done = scheduler.tick()
        seconds = time.perf_counter() - began
        print(f"{done.fired} fired in {seconds:.2f} s: {done.fired / seconds:.0f} a second")
    beyond = medians["look with none due"] - medians["empty query"]
    print(f"beyond an empty query: {beyond:.3f} ms (promised: under {BEYOND_MS:g} ms)")
    return beyond < BEYOND_MS


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _explain(cursor: Any, sql: str) -> None:
    cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS) {sql}")
    print("\n".join(f"    {row[0]}" for row in cursor.fetchall()))


if __name__ == "__main__":
    main()
