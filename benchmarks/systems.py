"""The systems that are measured side by side, and how each is set up.

All have the same task, the same PostgreSQL and Valkey with the product's settings, and two
processes on two cores. A system with several configurations is tried with each, briefly, before
the measurements; the one that drains fastest is measured.
"""

from dataclasses import dataclass, field
from typing import Literal

Role = Literal["ours", "peer", "limit"]


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One way to run a system's workers."""

    name: str
    #: What follows the Python interpreter, for each process that is started.
    workers: tuple[tuple[str, ...], ...] = ()
    #: Added to the environment of callers and workers.
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class System:
    """One measured system."""

    #: On the command line, and of its database.
    name: str
    #: In tables.
    title: str
    #: What it keeps of a job.
    record: str
    #: Below :mod:`benchmarks.peers`.
    module: str
    #: The packages whose versions are told.
    packages: tuple[str, ...]
    configurations: tuple[Configuration, ...]
    role: Role = "peer"
    #: Its environment is made of ``peers/<this>.txt``; None: the project's own.
    requirements: str | None = None
    #: The oldest Python it runs on.
    python: tuple[int, int] = (3, 11)
    #: Its Django settings; None: it is not in Django.
    django: str | None = None
    #: How many of ``%(jobs)s`` are not final, by its own records; None: it keeps none.
    left: str | None = None
    #: Whether it has a call for many jobs.
    bulk: bool = True
    #: Whether a caller's transaction in Django can ask for a job.
    with_row: bool = False
    #: Whether it is measured without being named.
    usual: bool = True
    #: How many times ``--jobs`` are asked for one by one: more of those that are fast, so that all
    #: take seconds.
    many: int = 1
    #: The same for jobs asked for in one call.
    many_in_bulk: int = 1


def _celery(module: str, name: str, *options: str, **environment: str) -> Configuration:
    command = ("-m", "celery", "-A", f"benchmarks.peers.{module}", "worker", "--loglevel=WARNING")
    return Configuration(
        name=name,
        workers=((*command, *(options or ("--concurrency=2",))),),
        environment=environment,
    )


def _two_solo(module: str, name: str, **environment: str) -> Configuration:
    """Two Celery workers that run their jobs themselves, without passing them to a pool."""
    command = ("-m", "celery", "-A", f"benchmarks.peers.{module}", "worker", "--loglevel=WARNING")
    return Configuration(
        name=name,
        workers=tuple((*command, "--pool=solo", "--hostname", f"{one}@%h") for one in "ab"),
        environment=environment,
    )


def _two(module: str, name: str, option: str) -> Configuration:
    command = ("-m", f"benchmarks.peers.{module}", "worker", option)
    return Configuration(name=name, workers=(command, command))


#: By an index each: with millions of finished jobs behind them, a look at all rows takes seconds,
#: which would count as time that the drain took.
_OURS_LEFT = """
    SELECT count(*) FROM (
        (SELECT 1 FROM jobs_job WHERE state = 'scheduled' ORDER BY scheduled_at LIMIT 1)
        UNION ALL
        (SELECT 1 FROM jobs_job WHERE state IN ('available', 'queued')
         ORDER BY queue, priority, tenant, seat LIMIT 1)
        UNION ALL
        (SELECT 1 FROM jobs_job WHERE state = 'running' ORDER BY worker LIMIT 1)
    ) AS unfinished
"""

OURS = System(
    name="ours",
    title="This project",
    record="yes: job, attempts, audit log",
    module="ours",
    packages=("django", "celery", "psycopg"),
    role="ours",
    django="benchmarks.settings",
    configurations=(
        Configuration(
            name="queue `inventory`, prefork 2",
            workers=(("manage.py", "worker", "inventory", "--concurrency", "2"),),
        ),
    ),
    left=_OURS_LEFT,
    with_row=True,
    many=4,
    many_in_bulk=15,
)

LIMIT = System(
    name="postgresql",
    title="PostgreSQL alone: a committed INSERT per job (bulk: COPY)",
    record="a row, no more",
    module="postgresql",
    packages=("psycopg",),
    role="limit",
    configurations=(Configuration(name="one process"),),
    many=10,
    many_in_bulk=30,
)

_RESULTS_LEFT = """
    SELECT %(jobs)s - count(*) FROM django_celery_results_taskresult WHERE status = 'SUCCESS'
"""

SYSTEMS: dict[str, System] = {
    system.name: system
    for system in (
        OURS,
        System(
            name="celery",
            title="Celery, results ignored",
            record="no",
            module="celery_raw",
            packages=("celery", "kombu"),
            configurations=(
                _celery("celery_raw", "prefork 2 (default)"),
                _celery("celery_raw", "prefork 2, prefetch 64", BENCH_PREFETCH="64"),
                _two_solo("celery_raw", "2 workers, solo, prefetch 64", BENCH_PREFETCH="64"),
            ),
            bulk=False,
            many=2,
        ),
        System(
            name="celery-results",
            title="Celery + django-celery-results, default settings",
            record="outcome only",
            module="celery_results",
            django="benchmarks.peers.results_settings",
            packages=("celery", "django-celery-results"),
            configurations=(_celery("celery_results", "prefork 2 (default)"),),
            left=_RESULTS_LEFT,
            bulk=False,
            with_row=True,
        ),
        System(
            name="celery-results-tuned",
            title="Celery + django-celery-results, tuned",
            record="outcome only",
            module="celery_results",
            django="benchmarks.peers.results_settings",
            packages=("celery", "django-celery-results"),
            configurations=(
                _celery("celery_results", "prefork 2, connections kept", BENCH_TUNED="1"),
                _celery(
                    "celery_results",
                    "prefork 2, connections kept, prefetch 64",
                    BENCH_TUNED="1",
                    BENCH_PREFETCH="64",
                ),
                _celery(
                    "celery_results",
                    "threads 8, connections kept, prefetch 64",
                    "--pool=threads",
                    "--concurrency=8",
                    BENCH_TUNED="1",
                    BENCH_PREFETCH="64",
                ),
                _two_solo(
                    "celery_results",
                    "2 workers, solo, connections kept, prefetch 64",
                    BENCH_TUNED="1",
                    BENCH_PREFETCH="64",
                ),
            ),
            left=_RESULTS_LEFT,
            bulk=False,
            with_row=True,
        ),
        System(
            name="procrastinate",
            title="Procrastinate",
            record="yes",
            module="procrastinate_jobs",
            packages=("procrastinate", "psycopg"),
            requirements="procrastinate",
            configurations=(
                _two("procrastinate_jobs", "2 processes, 1 at a time (default)", "1"),
                _two("procrastinate_jobs", "2 processes, 10 at a time", "10"),
            ),
            left="SELECT count(*) FROM procrastinate_jobs WHERE status <> 'succeeded'",
            many=2,
            many_in_bulk=3,
        ),
        System(
            name="oban",
            title="Oban for Python (open source)",
            record="yes",
            module="oban_jobs",
            packages=("oban", "psycopg"),
            requirements="oban",
            python=(3, 12),
            configurations=(
                _two("oban_jobs", "2 processes, 10 at a time", "10"),
                _two("oban_jobs", "2 processes, 100 at a time", "100"),
                _two("oban_jobs", "2 processes, 1000 at a time", "1000"),
            ),
            left="SELECT count(*) FROM oban_jobs WHERE state <> 'completed'",
            many=4,
            many_in_bulk=15,
        ),
        System(
            name="pgqueuer",
            title="PgQueuer",
            record="yes, outcomes in batches",
            module="pgqueuer_jobs",
            packages=("pgqueuer", "asyncpg"),
            requirements="pgqueuer",
            configurations=(
                _two("pgqueuer_jobs", "2 processes, batches of 100", "100"),
                _two("pgqueuer_jobs", "2 processes, batches of 10 (default)", "10"),
            ),
            left="SELECT count(*) FROM pgqueuer",
            many=10,
            many_in_bulk=30,
        ),
        System(
            name="rq",
            title="RQ",
            record="no",
            module="rq_jobs",
            packages=("rq", "redis"),
            requirements="rq",
            configurations=(
                _two("rq_jobs", "2 workers (default, a fork for each job)", "fork"),
                _two("rq_jobs", "2 simple workers", "simple"),
            ),
            usual=False,
            many=2,
            many_in_bulk=3,
        ),
        System(
            name="dramatiq",
            title="Dramatiq",
            record="no",
            module="dramatiq_jobs",
            packages=("dramatiq", "redis"),
            requirements="dramatiq",
            configurations=tuple(
                Configuration(
                    name=f"2 processes of {threads} threads",
                    workers=(
                        (
                            "-m",
                            "dramatiq",
                            "benchmarks.peers.dramatiq_jobs",
                            "--processes=2",
                            f"--threads={threads}",
                        ),
                    ),
                )
                for threads in (8, 1)
            ),
            bulk=False,
            usual=False,
            many=5,
        ),
        LIMIT,
    )
}
