"""The engine's promises, on real worker processes, PostgreSQL and Valkey."""

import itertools
import json
import os
import signal
from datetime import datetime, timedelta
from uuid import UUID

import psutil
import pytest
from django.db import transaction

from jobs import operations
from jobs.models import Attempt, AuditEntry, DeadLetter, Job, ProbeRun
from jobs.states import State
from jobs.tasks import probe
from tests.conftest import Live, wait_until

pytestmark = pytest.mark.processes

#: Short waits between attempts, so that a test sees several.
QUICK = {"JOBS_BACKOFF_SCALE": "0.02", "JOBS_REPUBLISH_SECONDS": "1"}


def state_of(job: Job) -> str:
    return Job.objects.values_list("state", flat=True).get(id=job.id)


def test_a_rolled_back_transaction_leaves_no_job_and_a_committed_one_runs_once(live: Live) -> None:
    class Undo(Exception):
        pass

    def enqueue_and_undo() -> None:
        with transaction.atomic():
            undone.append(probe.using(queue="email").enqueue(label="undone").id)
            raise Undo

    undone: list[UUID] = []
    with pytest.raises(Undo):
        enqueue_and_undo()
    assert not Job.objects.filter(id=undone[0]).exists()
    assert live.redis.llen("email") == 0

    with transaction.atomic():
        kept = probe.using(queue="email").enqueue(label="kept")
        assert live.redis.llen("email") == 0, "published before the commit"
    assert live.redis.llen("email") == 1

    live.worker("email")
    wait_until(lambda: state_of(kept) == State.SUCCEEDED)
    assert ProbeRun.objects.filter(label="kept").count() == 1
    assert not ProbeRun.objects.filter(label="undone").exists()


def test_arguments_never_appear_in_redis_while_jobs_wait(live: Live) -> None:
    secret = "correct-horse-battery-staple"
    for _ in range(3):
        probe.using(queue="email", tenant="acme").enqueue(label=secret)
    keyspace = b""
    for key in live.redis.scan_iter("*"):
        keyspace += key + (live.redis.dump(key) or b"")
        if live.redis.type(key) == b"list":
            keyspace += b"".join(
                item for item in live.redis.lrange(key, 0, -1) if isinstance(item, bytes)
            )
    assert b"jobs.probe" in keyspace, "the messages are there"
    assert secret.encode() not in keyspace
    assert b"acme" not in keyspace
    (message, *_rest) = live.redis.lrange("email", 0, -1)
    headers = json.loads(message)["headers"]
    assert headers["argsrepr"] == headers["kwargsrepr"] == ""


def test_a_failing_task_makes_its_attempts_with_growing_delays_then_one_replayable_dead_letter(
    live: Live,
) -> None:
    live.worker("email", **QUICK)
    job = probe.using(queue="email").enqueue(label="failing", fail_times=5)
    wait_until(lambda: state_of(job) == State.DEAD, within=60)

    attempts = list(Attempt.objects.filter(job=job).order_by("number"))
    assert [attempt.number for attempt in attempts] == [1, 2, 3, 4, 5]
    assert {attempt.outcome for attempt in attempts} == {"failed"}
    retried = AuditEntry.objects.filter(subject_id=str(job.id), action="job.retried")
    waits = [
        datetime.fromisoformat((entry.detail or {})["until"]) - entry.at
        for entry in retried.order_by("id")
    ]
    assert len(waits) == 4
    # Each is doubled, and between half and all of it is waited: two further, it must be longer.
    assert waits[2] > waits[0]
    assert waits[3] > waits[1]
    assert all(
        later.started_at - earlier.finished_at >= wait - timedelta(milliseconds=10)
        for wait, (earlier, later) in zip(waits, itertools.pairwise(attempts), strict=True)
    )
    letter = DeadLetter.objects.get(job=job)
    assert (letter.reason, letter.error_type) == ("exhausted", "ProbeFailed")

    replay = operations.replay(job.id, actor="user:ann", payload={"fail_times": 0})
    wait_until(lambda: state_of(replay) == State.SUCCEEDED)
    assert ProbeRun.objects.filter(job_id=replay.id).count() == 1
    assert state_of(job) == State.DEAD, "a final state stays"


def test_killing_a_child_in_mid_task_ends_in_a_retry_not_a_loss(live: Live) -> None:
    live.worker("pdf", **QUICK)
    job = probe.using(queue="pdf").enqueue(label="victim", sleep_ms=3_000)
    pid = wait_until(
        lambda: (
            Job.objects.filter(id=job.id, state=State.RUNNING).values_list("pid", flat=True).first()
        )
    )
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: state_of(job) == State.SUCCEEDED, within=45)
    outcomes = Attempt.objects.filter(job=job).order_by("number").values_list("outcome", flat=True)
    assert list(outcomes) == ["crashed", "succeeded"]
    assert ProbeRun.objects.filter(label="victim").count() == 1


def test_a_job_that_keeps_killing_its_worker_ends_as_a_dead_letter(live: Live) -> None:
    live.worker("pdf", **QUICK)
    job = probe.using(queue="pdf").enqueue(label="killer", crash=True)
    wait_until(lambda: state_of(job) == State.DEAD, within=60)
    assert DeadLetter.objects.get(job=job).reason == "crashed"
    assert Attempt.objects.filter(job=job, outcome="crashed").count() == 3


def test_the_same_message_delivered_twice_runs_once(live: Live) -> None:
    jobs = [probe.using(queue="email").enqueue(label="doubled") for _ in range(20)]
    messages = live.redis.lrange("email", 0, -1)
    assert len(messages) == 20
    live.redis.lpush("email", *messages)
    live.worker("email")
    wait_until(lambda: live.redis.llen("email") == 0)
    wait_until(lambda: all(state_of(job) == State.SUCCEEDED for job in jobs))
    assert ProbeRun.objects.filter(label="doubled").count() == 20
    assert Attempt.objects.filter(job__in=jobs).count() == 20


@pytest.mark.parametrize("queue", ["email", "pdf"])  # threads; processes
def test_a_broken_message_is_dropped_and_the_worker_goes_on(live: Live, queue: str) -> None:
    first = probe.using(queue=queue).enqueue(label="whole")
    (whole,) = live.redis.lrange(queue, 0, -1)
    for body in (None, "", "bm8="):
        broken = json.loads(whole) | {"body": body}
        live.redis.lpush(queue, json.dumps(broken))
    stranger = json.loads(whole)
    stranger["headers"]["task"] = "jobs.unheard_of"
    live.redis.lpush(queue, json.dumps(stranger), json.dumps(stranger | {"headers": {}}))
    worker = live.worker(queue, **QUICK)
    wait_until(lambda: state_of(first) == State.SUCCEEDED)
    celery = [child.pid for child in psutil.Process(worker.pid).children()]
    after = probe.using(queue=queue).enqueue(label="after")
    wait_until(lambda: state_of(after) == State.SUCCEEDED)
    assert [child.pid for child in psutil.Process(worker.pid).children()] == celery
    wait_until(lambda: live.redis.llen(queue) == 0)
    assert not live.redis.keys("unacked*"), "nothing is kept of any message"


def test_a_worker_of_processes_takes_a_message_in_one_trip_and_no_more_than_it_can_answer(
    live: Live,
) -> None:
    jobs = [probe.using(queue="pdf").enqueue(label="long", sleep_ms=1_500) for _ in range(6)]
    live.redis.config_resetstat()
    live.worker("pdf", "--concurrency", "1")
    wait_until(lambda: any(state_of(job) == State.RUNNING for job in jobs))
    assert live.redis.llen("pdf") == 5, "messages wait for a free process, of any worker"
    wait_until(lambda: all(state_of(job) == State.SUCCEEDED for job in jobs), within=40)
    commands = set(live.redis.info("commandstats"))
    assert "cmdstat_brpop" in commands
    assert not commands & {"cmdstat_hset", "cmdstat_hdel"}, "no copy of a message is kept"


def test_lost_messages_are_published_again(live: Live) -> None:
    jobs = [probe.using(queue="email").enqueue(label="lost") for _ in range(5)]
    live.redis.flushall()
    live.worker("email", **QUICK)
    wait_until(lambda: all(state_of(job) == State.SUCCEEDED for job in jobs))
    assert ProbeRun.objects.filter(label="lost").count() == 5


def test_a_stopped_worker_gives_back_what_it_cannot_finish(live: Live) -> None:
    process = live.worker("pdf", JOBS_SHUTDOWN_SECONDS="1")
    job = probe.using(queue="pdf").enqueue(label="long", sleep_ms=60_000)
    wait_until(lambda: state_of(job) == State.RUNNING)
    family = psutil.Process(process.pid).children(recursive=True)
    live.stop(process)
    assert state_of(job) == State.AVAILABLE
    assert Job.objects.get(id=job.id).crashes == 0
    assert not [
        child for child in family if child.is_running() and child.status() != psutil.STATUS_ZOMBIE
    ]


def test_the_enqueue_command_waits_for_the_settled_job(live: Live) -> None:
    live.worker("email")
    answer = live.manage(
        "jobs",
        "enqueue",
        "jobs.probe",
        "--queue",
        "email",
        "--payload",
        '{"label":"x"}',
        "--wait",
        "--json",
    )
    assert answer.returncode == 0, answer.stderr
    shown = json.loads(answer.stdout)
    assert (shown["state"], shown["queue"], shown["attempt"]) == ("succeeded", "email", 1)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["jobs.probe", "--payload", '{"lable":"x"}'], "lable"),
        (["jobs.probe", "--payload", '{"label":5}'], "label"),
        (["jobs.probe", "--payload", '{"label":"x","sleep_ms":"5"}'], "sleep_ms"),
        (["jobs.prob", "--payload", '{"label":"x"}'], "Did you mean 'jobs.probe'?"),
        (["jobs.probe", "--queue", "emial", "--payload", '{"label":"x"}'], "Did you mean 'email'?"),
        (["jobs.probe", "--payload", "{"], "--payload"),
    ],
)
def test_a_bad_enqueue_is_refused_with_code_2_the_field_named_and_no_row(
    live: Live, arguments: list[str], named: str
) -> None:
    answer = live.manage("jobs", "enqueue", *arguments)
    assert answer.returncode == 2
    assert named in answer.stderr
    assert not Job.objects.exists()


def test_arguments_over_the_limit_are_refused_and_name_the_largest(live: Live) -> None:
    answer = live.manage(
        "jobs",
        "enqueue",
        "jobs.probe",
        "--payload",
        json.dumps({"label": "x" * 150}),
        JOBS_PAYLOAD_LIMIT="100",
    )
    assert answer.returncode == 2
    assert "label: takes most of" in answer.stderr
    assert not Job.objects.exists()


def test_killing_the_supervisor_runs_nothing_twice(live: Live) -> None:
    first = live.worker("pdf", JOBS_SHUTDOWN_SECONDS="20")
    jobs = [probe.using(queue="pdf").enqueue(label="orphaned", sleep_ms=2_000) for _ in range(6)]
    wait_until(lambda: Job.objects.filter(state=State.RUNNING).exists())
    first.kill()
    first.wait()
    live.worker("pdf", **QUICK)  # takes whatever is given back too early
    wait_until(lambda: all(state_of(job) == State.SUCCEEDED for job in jobs), within=60)
    assert ProbeRun.objects.filter(label="orphaned").count() == 6
