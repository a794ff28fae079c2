"""Other people's tasks on real worker processes: run, and as durable as our own."""

import os
import signal
import threading
from typing import Any
from uuid import UUID

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django_tasks import TaskResult, TaskResultStatus
from django_tasks.base import Task

from jobs.models import Attempt, Job, Worker
from jobs.states import State
from tests.conftest import Live, wait_until
from tests.plugin import tasks as plugin

pytestmark = pytest.mark.processes

#: The worker needs the app whose tasks it is to run, and short waits.
PLUGGED = {
    "DJANGO_SETTINGS_MODULE": "tests.settings",
    "JOBS_BACKOFF_SCALE": "0.02",
    "JOBS_REPUBLISH_SECONDS": "1",
}


def ended(result: TaskResult[Any]) -> TaskResult[Any]:
    """Wait for the task's end, and return the result."""

    def look() -> bool:
        result.refresh()
        return result.is_finished

    wait_until(look, within=60)
    return result


def test_tasks_of_another_app_run_on_our_workers_though_redis_was_flushed(live: Live) -> None:
    counted = ContentType.objects.count()
    calls: list[tuple[Task[..., Any], list[Any], Any]] = [
        (plugin.add, [40, 2], 42),
        (plugin.echo, ["Zoë", None], [["Zoë", None], {}]),
        (plugin.count_content_types, [], counted),
        (plugin.count_content_types.using(queue_name="email"), [], counted),  # in a thread
        (plugin.tell_context, [], [1, "RUNNING", False, 0]),
        (plugin.do_nothing_async, [], None),
    ]
    results = [(called.enqueue(*args), returned) for called, args, returned in calls]
    refused, deferred = plugin.refuse.enqueue(), plugin.write_letter.enqueue()
    live.redis.flushall()
    live.worker("maintenance", "email", **PLUGGED)
    for result, returned in results:
        assert ended(result).status == TaskResultStatus.SUCCESSFUL
        assert result.return_value == returned
        assert result.attempts == 1
        (worker,) = result.worker_ids
        assert Worker.objects.filter(id=UUID(worker)).exists()
    assert ended(deferred).status == TaskResultStatus.SUCCESSFUL
    assert ended(refused).status == TaskResultStatus.FAILED
    assert refused.errors[0].exception_class is ValueError
    assert Attempt.objects.filter(job_id=refused.id).count() == 1


def test_a_task_whose_process_is_killed_runs_again(live: Live) -> None:
    live.worker("maintenance", **PLUGGED)
    result = plugin.take_long_at_first.enqueue(60)

    def running() -> int | None:
        return (
            Job.objects.filter(id=result.id, state=State.RUNNING)
            .values_list("pid", flat=True)
            .first()
        )

    pid = wait_until(running)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert ended(result).return_value == 2
    assert result.attempts == 2
    (error,) = result.errors
    assert error.exception_class_path == "celery.exceptions.WorkerLostError"


def test_a_task_is_there_at_once_for_its_transaction_and_after_the_commit_for_others(
    live: Live,
) -> None:
    def seen_by_another() -> int:
        seen: list[int] = []

        def look() -> None:
            seen.append(Job.objects.count())
            connection.close()

        other = threading.Thread(target=look)
        other.start()
        other.join()
        return seen[0]

    with transaction.atomic():
        result = plugin.do_nothing.enqueue()
        assert result.enqueued_at is not None
        assert plugin.do_nothing.get_result(result.id) == result
        assert (Job.objects.count(), seen_by_another()) == (1, 0)
        assert live.redis.llen("maintenance") == 0
    assert seen_by_another() == 1
    assert live.redis.llen("maintenance") == 1
