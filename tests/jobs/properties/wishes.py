"""The jobs that are wanted, and their tasks: plain ones, unique ones, and such with limits."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from jobs import job_task
from jobs.definition import Unique
from jobs.limits import Concurrency, Rate
from jobs.models import Priority
from jobs.task import JobTask
from tests.jobs.properties.model import HOUR, LIMITS, RATE, RATE_PERIOD, Key

AnyTask = JobTask[..., None]

#: A queue of plain jobs that come by :func:`enqueue_many`, so that turns are taken there.
QUIET = "compliance"
QUEUES = ("reports", "inventory", QUIET)
PLAIN, SINGLE, SELDOM = "tests.plain", "tests.single", "tests.seldom"
NARROW, RATED = "tests.narrow", "tests.rated"
#: A task that no worker knows.
TOMORROW = "tests.of_tomorrow"
UNIQUE_PERIOD = 6 * HOUR
TENANTS = st.sampled_from("ab")


def declare_tasks() -> dict[str, AnyTask]:
    """Declare the tasks; a job that is to fail does so each time. Returns them by their names."""
    # A lease must outlast the hours that pass.
    lasting: Any = {"hard_time_limit": 12.5 * HOUR}
    period = Unique(by=("key",), period=UNIQUE_PERIOD)
    rate = Rate(limit=LIMITS[RATE], per=RATE_PERIOD)
    three, two_each = Concurrency(limit=3), Concurrency(limit=2, by="tenant")

    def body(*, key: str = "", fails: bool = False) -> None:
        if fails:
            raise ValueError(f"{key} was asked to fail")

    tasks = [
        job_task(name=PLAIN, queue="reports", **lasting)(body),
        job_task(name=SINGLE, queue="reports", unique=Unique(by=("key",)), **lasting)(body),
        job_task(name=SELDOM, queue="reports", unique=period, **lasting)(body),
        job_task(name=NARROW, queue="inventory", limits=[two_each, three], atomic=True, **lasting)(
            body
        ),
        job_task(name=RATED, queue="inventory", limits=[rate], **lasting)(body),
    ]
    return {task.definition.name: task for task in tasks}


@dataclass(frozen=True)
class Wish:
    """A job that somebody wants."""

    task: str
    queue: str
    tenant: str
    priority: Priority
    delay: int  # hours
    expires: int  # hours; 0: never
    key: str
    follows: int
    fails: bool

    @property
    def unique(self) -> tuple[Key, timedelta | None] | None:
        """What makes it unique, and for how long from its enqueueing."""
        if self.task not in {SINGLE, SELDOM}:
            return None
        return (self.task, self.tenant, self.key), UNIQUE_PERIOD if self.task == SELDOM else None


def wishes(least: int, most: int) -> st.SearchStrategy[list[Wish]]:
    """Make up jobs: mostly plain ones that are due."""
    wish = st.builds(
        Wish,
        task=st.sampled_from([*[PLAIN, RATED] * 3, *[NARROW, SINGLE] * 2, SELDOM, TOMORROW]),
        queue=st.sampled_from(["reports", "reports", "inventory"]),
        tenant=TENANTS,
        priority=st.sampled_from(
            [Priority.NORMAL, Priority.NORMAL, Priority.CRITICAL, Priority.LOW]
        ),
        delay=st.sampled_from([0, 0, 0, 2]),
        expires=st.sampled_from([0, 0, 0, 3]),
        key=st.sampled_from("xxxy"),
        follows=st.sampled_from([0, 0, 0, 2]),
        fails=st.sampled_from([False, False, True]),
    )
    return st.lists(wish, min_size=least, max_size=most)
