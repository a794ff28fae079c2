"""``/metrics`` for Prometheus, read from the database when it is scraped.

Any web process gives the same answer, and a restart forgets nothing. Staff who may view jobs see
it in their session; Prometheus shows a bearer token (``authorization: {credentials: …}``).
"""

import math
from collections.abc import Iterator
from itertools import accumulate

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from jobs import gates, rollups, selectors
from jobs.api.auth import caller
from jobs.permissions import may_view
from jobs.selectors.measurements import Histogram, measure


class JobsCollector(Collector):
    """Turns what the selectors say into metrics."""

    def collect(self) -> Iterator[Metric]:
        """Yield every metric, by fresh queries."""
        yield from _ended()
        yield from _queues()
        yield _parked()
        yield from _schedules()

    def describe(self) -> list[Metric]:
        """Promise nothing, so that registering the collector asks the database nothing."""
        return []


def _ended() -> Iterator[Metric]:
    by_task = ("queue", "task")
    jobs = CounterMetricFamily(
        "jobs", "Jobs that ended, by final state.", labels=(*by_task, "outcome")
    )
    attempts = CounterMetricFamily(
        "job_attempts", "Attempts that ended.", labels=(*by_task, "outcome")
    )
    failures = CounterMetricFamily(
        "job_failures", "Attempts that failed or crashed.", labels=(*by_task, "error")
    )
    runs = HistogramMetricFamily(
        "job_duration_seconds", "From start to end of an attempt.", labels=by_task
    )
    waits = HistogramMetricFamily(
        "job_wait_seconds", "From due to the start of an attempt.", labels=by_task
    )
    for labels, measured in measure().items():
        for family, counts in (
            (jobs, measured.ends),
            (attempts, measured.outcomes),
            (failures, measured.failures),
        ):
            for name, count in counts.items():
                family.add_metric((*labels, name), count)
        _add(runs, labels, measured.runs)
        _add(waits, labels, measured.waits)
    yield from (jobs, attempts, failures, runs, waits)


def _add(family: HistogramMetricFamily, labels: tuple[str, str], measured: Histogram) -> None:
    bounds = [*(str(bound) for bound in rollups.BOUNDS), "+Inf"]
    cumulative = [float(count) for count in accumulate(measured.counts)]
    family.add_metric(
        labels, buckets=list(zip(bounds, cumulative, strict=True)), sum_value=measured.total
    )


def _queues() -> Iterator[Metric]:
    workers = selectors.list_workers()
    depth = GaugeMetricFamily("queue_depth", "Unfinished jobs.", labels=("queue", "state"))
    oldest = GaugeMetricFamily(
        "queue_oldest_seconds",
        "How long the job in line that is due for longest has waited.",
        labels=("queue",),
    )
    paused = GaugeMetricFamily("queue_paused", "1 while an operator pauses it.", labels=("queue",))
    serving = GaugeMetricFamily(
        "queue_workers", "Workers with a fresh heartbeat that serve it.", labels=("queue",)
    )
    letters = GaugeMetricFamily(
        "dead_letters", "Dead letters that wait for a decision.", labels=("queue",)
    )
    for queue in selectors.queue_overviews(workers=workers):
        for state, count in queue.depth.items():
            depth.add_metric((queue.name, state.value), count)
        oldest.add_metric((queue.name,), queue.oldest_due_seconds or 0.0)
        paused.add_metric((queue.name,), int(queue.is_paused))
        serving.add_metric((queue.name,), queue.workers)
        letters.add_metric((queue.name,), queue.dead_letters)
    yield from (depth, oldest, paused, serving, letters)
    alive = sum(view.is_alive for view in workers)
    yield GaugeMetricFamily("workers", "Workers with a fresh heartbeat.", value=alive)


def _parked() -> Metric:
    """Tell by the limit, not by its gates: a limit may have one for each address of a person."""
    waiting = selectors.parked_by_limit()
    family = GaugeMetricFamily(
        "jobs_parked",
        "Due jobs that wait for this limit, or for a worker that knows their task.",
        labels=("limit",),
    )
    for name in sorted({gates.UNKNOWN_TASK, *waiting, *gates.declared()}):
        family.add_metric((name,), waiting.get(name, 0))
    return family


def _schedules() -> Iterator[Metric]:
    """Tell how schedules are now; firings are not counted, since their history is pruned."""
    health = selectors.schedule_health()
    yield GaugeMetricFamily("beats", "Beats that looked within a lease.", value=health.beats)
    looked = GaugeMetricFamily("beat_last_tick_seconds", "Since the last look of any beat.")
    if health.tick_age is not None:
        looked.add_metric((), health.tick_age.total_seconds())
    yield looked
    yield GaugeMetricFamily(
        "schedules_overdue", "Schedules due for more than a minute.", value=len(health.overdue)
    )
    yield GaugeMetricFamily(
        "schedules_troubled",
        "Schedules that cannot be planned, or could not be run last.",
        value=len(health.troubled),
    )
    age = GaugeMetricFamily(
        "canary_age_seconds", "Since a canary last came through; +Inf: never.", labels=("queue",)
    )
    wait = GaugeMetricFamily(
        "canary_wait_seconds", "From its enqueueing until a worker ran it.", labels=("queue",)
    )
    for canary in health.canaries:
        age.add_metric(
            (canary.queue,), math.inf if canary.age is None else canary.age.total_seconds()
        )
        if canary.wait is not None:
            wait.add_metric((canary.queue,), canary.wait.total_seconds())
    yield from (age, wait)


_REGISTRY = CollectorRegistry()
_REGISTRY.register(JobsCollector())


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer a scrape, in the format that the scraper prefers."""
    user = caller(request)
    if user is None:
        response = HttpResponse("Log in, or send a valid bearer token.\n", status=401)
        response["WWW-Authenticate"] = "Bearer"
        return response
    if not may_view(user):
        return HttpResponse(f"{user.get_username()} may not view jobs.\n", status=403)
    encoder, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encoder(_REGISTRY), content_type=content_type)
