import time, pytest
from celery import group, chord, chain
from jobs.models import *
from jobs.inline import run_due
from jobs.testing import run_jobs
from tests.canvas.arithmetic import declare
from django.db import transaction, connection
import logging, structlog

@pytest.mark.django_db
def test_dead(dead_broker):
    t = declare()
    b = time.perf_counter(); group(t.add.s(i,i) for i in range(100))(); print("group of 100, redis refused", time.perf_counter()-b)
    b = time.perf_counter(); chord([t.add.s(i,i) for i in range(100)], t.xsum.s())(); print("chord of 100, redis refused", time.perf_counter()-b)

def test_speed(live):
    logging.disable(logging.INFO)
    t = declare()
    for n in (100, 1000, 5000):
        b = time.perf_counter(); r = chord([t.add.s(i,i) for i in range(n)], t.xsum.s())(); e = time.perf_counter()-b
        print(f"chord of {n}: started in {e:.3f} s, {n/e:.0f}/s")
    b = time.perf_counter(); r = group([t.add.s(i,i) for i in range(1000)])(); e = time.perf_counter()-b
    print(f"group of 1000: started in {e:.3f} s")
    b = time.perf_counter(); ids = [t.add.delay(i,i).id for i in range(1000)]; e = time.perf_counter()-b
    print(f"1000 delay: {e:.3f} s")
    from jobs.executor import take_turn
    from django.db.models import Q
    Job.objects.filter(root_id=None).delete()
    Job.objects.exclude(root_id=r.workflow_id).delete()
    def drain(label, n):
        b = time.perf_counter()
        while True:
            k = sum(1 for _ in take_turn("inventory", worker=None, seconds=600))
            if not k: break
        e = time.perf_counter()-b
        print(f"{label}: {n/e:.0f} jobs/s")
    drain("plain group of 1000 (one process)", 1000)
    r = chord([t.add.s(i,i) for i in range(1000)], t.xsum.s())()
    drain("chord of 1000", 1001)
    for i in range(100): chain(*[t.add.s(1,1), *[t.add.s(1) for _ in range(9)]])()
    drain("100 chains of 10", 1000)
    chain(*[t.add.s(1,1), *[t.add.s(1) for _ in range(299)]])()
    drain("a chain of 300", 300)
    for i in range(1000): t.add.delay(i,i)
    drain("plain jobs", 1000)
    from jobs import selectors
    r = chord([t.add.s(i,i) for i in range(10000)], t.xsum.s())()
    with connection.cursor() as c: c.execute("analyze")
    b = time.perf_counter(); selectors.workflow_detail(r.workflow_id); print("detail of 10001", time.perf_counter()-b)
    b = time.perf_counter(); selectors.list_workflows(); print("list", time.perf_counter()-b)
    from jobs import operations
    import uuid
    b = time.perf_counter(); operations.cancel_workflow(uuid.UUID(r.workflow_id), actor="x"); print("cancel of 10001", time.perf_counter()-b)
