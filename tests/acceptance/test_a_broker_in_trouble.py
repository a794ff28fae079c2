"""Enqueueing with Redis frozen or gone: the caller barely waits, and nothing is lost."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from jobs.breaker import breaker
from jobs.models import Job, ProbeRun
from jobs.states import State
from jobs.tasks import probe
from tests.conftest import Live, wait_until

pytestmark = pytest.mark.processes


@contextmanager
def frozen_broker(live: Live) -> Iterator[None]:
    pid = int(live.redis.info()["process_id"])
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_frozen_broker_holds_one_caller_for_a_moment_and_the_others_not_at_all(
    live: Live,
) -> None:
    probe.using(queue="email").enqueue(label="before")
    with frozen_broker(live):
        began = time.monotonic()
        first = probe.using(queue="email").enqueue(label="frozen")
        held = time.monotonic() - began
        assert breaker.is_open
        states = {probe.using(queue="email").enqueue(label="frozen").state for _ in range(20)}
        held_in_all = time.monotonic() - began
    assert states == {State.AVAILABLE}, "nobody tries while the breaker is open"
    assert held < 2.0
    assert held_in_all - held < held, "twenty later callers wait less than the first alone"
    assert Job.objects.get(id=first.id).state == State.AVAILABLE

    live.worker("email", JOBS_REPUBLISH_SECONDS="1")
    wait_until(lambda: not Job.objects.exclude(state=State.SUCCEEDED).exists())
    assert ProbeRun.objects.filter(label="frozen").count() == 21
