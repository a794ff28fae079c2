"""Real beats: killed, frozen, several at once, without PostgreSQL. Each instant is fired once."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Event

import psutil
import pytest
from django.db import DatabaseError, connection, transaction
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from jobs.models import Beat, Firing, Job, Schedule
from jobs.schedules import scheduler
from jobs.selectors import schedule_health
from tests.conftest import Live, query, wait_until
from tests.jobs.schedules.schedules import make_schedule

pytestmark = pytest.mark.processes


def now() -> datetime:
    ((instant,),) = query("SELECT clock_timestamp()")
    return instant  # type: ignore[no-any-return]


def beats_running(count: int) -> bool:
    return Beat.objects.filter(stopped_at=None).count() == count


def fired(schedule: Schedule) -> list[datetime]:
    rows = Firing.objects.filter(schedule_id=schedule.pk, outcome="fired").order_by("due_at")
    return list(rows.values_list("due_at", flat=True))


def celery_below(pid: int) -> list[psutil.Process]:
    return [one for one in psutil.Process(pid).children(recursive=True) if one.is_running()]


def test_after_five_hours_without_a_beat_three_that_start_at_once_fire_each_schedule_once(
    live: Live,
) -> None:
    """Nobody can wait for five hours: the rows say that the last look was five hours ago."""
    ago = now() - timedelta(hours=5)
    once = make_schedule(cron="0 * * * *", since=ago)
    skip = make_schedule(cron="0 * * * *", missed="skip", since=ago)
    each = make_schedule(cron="0 * * * *", missed="all", since=ago)
    three = [live.start("beat", JOBS_CANARY="false") for _ in range(3)]
    wait_until(lambda: beats_running(3), what="three beats")
    wait_until(lambda: not Schedule.objects.filter(stale=True).exists(), what="all planned")
    hours = [
        ago.replace(minute=0, second=0, microsecond=0) + timedelta(hours=number)
        for number in range(1, 7)
    ]
    hours = [hour for hour in hours if hour <= now()]
    assert fired(once) == hours[-1:]
    assert fired(each) == hours
    # The full hour may have struck a moment ago.
    assert fired(skip) in ([], hours[-1:])
    for schedule in (once, skip, each):
        told = list(Firing.objects.filter(schedule_id=schedule.pk).order_by("due_at"))
        assert [row.due_at for row in told] == hours, "each instant is in the history, once"
        assert all(row.reason for row in told if row.late_by > timedelta(minutes=1))
    assert Job.objects.count() == Firing.objects.filter(outcome="fired").count()
    for beat in three:
        assert live.stop(beat) == 0
    assert beats_running(0)


def test_beats_that_are_killed_and_frozen_at_random_fire_every_second_once(live: Live) -> None:
    """Frozen for longer than PostgreSQL lets a transaction rest, and woken again."""
    schedules = [
        make_schedule(every=timedelta(seconds=1), missed="all", missed_limit=100) for _ in range(8)
    ]
    worker = live.worker("maintenance")
    beats = [live.start("beat", JOBS_CANARY="false") for _ in range(3)]
    wait_until(lambda: beats_running(3), what="three beats")
    dice = random.Random(5)
    for _ in range(2):
        began = Firing.objects.count()
        victims = celery_below(beats[0].pid)
        for victim in victims:
            victim.send_signal(signal.SIGSTOP)
        frozen_at = time.monotonic()
        # The others go on, whatever the frozen one holds.
        wait_until(
            lambda began=began: Firing.objects.count() > began + 40,  # type: ignore[misc]
            what="firings while a beat is frozen",
        )
        wait_until(
            lambda since=frozen_at: time.monotonic() - since > 5.5,  # type: ignore[misc]
            what="longer than a transaction may rest",
        )
        for victim in victims:
            victim.send_signal(signal.SIGCONT)
        unlucky = beats.pop(dice.randrange(1, 3))
        for child in celery_below(unlucky.pid):
            child.kill()
        unlucky.kill()
        beats.append(live.start("beat", JOBS_CANARY="false"))
    for beat in beats:
        live.stop(beat)
    Schedule.objects.update(wake_at=None)
    for schedule in schedules:
        instants = fired(schedule)
        assert len(instants) > 10
        assert instants == [
            instants[0] + timedelta(seconds=number) for number in range(len(instants))
        ], "every second, each once"
    jobs = Counter(Firing.objects.filter(outcome="fired").values_list("job_id", flat=True))
    assert set(jobs.values()) == {1}
    wait_until(
        lambda: Job.objects.filter(state="succeeded").count() == len(jobs) == Job.objects.count(),
        within=60,
        what="every firing's job has succeeded, and there are no others",
    )
    live.stop(worker)


def test_who_freezes_inside_a_transaction_loses_it_and_the_others_go_on(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = make_schedule(every=timedelta(hours=1), since=now() - timedelta(minutes=90))
    monkeypatch.setattr(scheduler, "FROZEN_AFTER", timedelta(seconds=1))
    inside, thawed = Event(), Event()

    def freeze(schedule: Schedule) -> None:
        inside.set()
        assert thawed.wait(60)

    def frozen() -> None:
        connection.close()
        try:
            scheduler.tick()
        finally:
            connection.close()

    with monkeypatch.context() as patch, ThreadPoolExecutor(1) as pool:
        patch.setattr(scheduler, "_overdue", freeze)
        ticking = pool.submit(frozen)
        assert inside.wait(30)
        patch.undo()
        assert scheduler.tick().fired == 0, "its row is locked, and passed by"
        wait_until(lambda: scheduler.tick().fired == 1, what="PostgreSQL ends the transaction")
        thawed.set()
        with pytest.raises(DatabaseError, match="idle-in-transaction"):
            ticking.result(30)
    assert len(fired(schedule)) == Job.objects.count() == 1


def test_an_edit_takes_effect_within_seconds_and_fires_nothing_at_once(live: Live) -> None:
    schedule = make_schedule(cron="0 0 1 1 *")
    live.start("beat", JOBS_CANARY="false")
    wait_until(lambda: Schedule.objects.get(pk=schedule.pk).next_at, what="it is planned")
    earlier = now() - timedelta(minutes=30)
    began = time.monotonic()
    CrontabSchedule.objects.filter(periodictask=schedule.pk).update(
        minute=str(earlier.minute), hour=str(earlier.hour), day_of_month="*", month_of_year="*"
    )
    tomorrow = now() + timedelta(hours=22), now() + timedelta(hours=25)
    wait_until(
        lambda: Schedule.objects.filter(pk=schedule.pk, next_at__range=tomorrow).exists(),
        what="it is planned anew, for tomorrow",
    )
    assert time.monotonic() - began < 10
    assert not Firing.objects.exists()


def test_a_beat_outlives_the_loss_of_its_connection_and_tells_that_it_lives(live: Live) -> None:
    schedule = make_schedule(every=timedelta(seconds=1), missed="all", missed_limit=100)
    live.start("beat", JOBS_CANARY="false", JOBS_HEARTBEAT_SECONDS="0.5")
    wait_until(lambda: len(fired(schedule)) > 2, what="it fires")
    query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE pid <> pg_backend_pid() AND datname = current_database()"
    )
    connection.close()
    count = len(fired(schedule))
    wait_until(lambda: len(fired(schedule)) > count + 2, what="it goes on firing")
    health = schedule_health()
    assert (health.beats, health.overdue, health.healthy) == (1, (), True)
    assert health.tick_age is not None
    assert health.tick_age < timedelta(seconds=10)
    instants = fired(schedule)
    assert instants == [instants[0] + timedelta(seconds=n) for n in range(len(instants))]


def test_a_beat_that_is_told_to_stop_in_the_middle_of_a_look_stops(live: Live) -> None:
    """A handler of a signal that waits for the connection which it interrupted waits for ever."""
    for _ in range(60):
        make_schedule(every=timedelta(seconds=1))
    beats = [live.start("beat", JOBS_CANARY="false") for _ in range(4)]
    wait_until(lambda: beats_running(4), what="four beats")
    with connection.cursor() as cursor, transaction.atomic():
        # Whoever finds something due now waits here, in the middle of a statement.
        cursor.execute("LOCK TABLE jobs_firing")
        wait_until(waiting, what="somebody waits for the lock")
        for beat in beats:
            beat.send_signal(signal.SIGTERM)
        for beat in beats:
            assert beat.wait(9) == 0, "sooner than it would be killed"
    wait_until(lambda: beats_running(0), what="they tell that they stopped")


def waiting() -> int:
    return int(query("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")[0][0])


def test_celery_s_own_command_runs_the_same_scheduler(live: Live) -> None:
    schedule = make_schedule(every=timedelta(seconds=1))
    beat = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "erp.celery", "beat", "--pidfile="],
        env=live.environment(JOBS_CANARY="false"),
    )
    try:
        wait_until(lambda: fired(schedule), what="it fires")
        assert PeriodicTask.objects.get(pk=schedule.pk).total_run_count > 0
    finally:
        os.kill(beat.pid, signal.SIGTERM)
        beat.wait(30)
    wait_until(lambda: beats_running(0), what="it tells that it stopped")
