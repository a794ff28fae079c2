"""``python -m benchmarks.outage``: what a caller waits for while Redis is refused, frozen or dead.

Each kind of outage gets callers of its own that enqueue one job after the other, each in a
transaction; beside them stands the same with a healthy Redis. The first call may try; those after
it must not. What counts is the first call, and how much longer than healthy the next ones take.
"""

import argparse
import os
import signal
import socket
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import arguments, servers

#: What the product promises, in milliseconds: for the first call, and beyond healthy for the next.
FIRST_MS, NEXT_MS = 500.0, 20.0


def main() -> None:
    """Start servers, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outage", description=__doc__)
    parser.add_argument("--calls", type=arguments.count, default=300, help="after the first (300)")
    parser.add_argument("--rounds", type=arguments.count, default=3, help="times (3)")
    options = parser.parse_args()
    if options.calls * options.rounds < 2:
        parser.error("--calls or --rounds must be 2 or more: one call has no quantiles")
    with servers.for_a_moment():
        kept = measure(options.calls, options.rounds)
    sys.exit(0 if kept else 1)


def measure(calls: int, rounds: int) -> bool:
    """Measure all kinds and print the table; returns whether the promises were kept."""
    import django

    django.setup()
    from celery import current_app
    from django.core.management import call_command

    call_command("migrate", verbosity=0, interactive=False)
    healthy_url = str(current_app.conf.broker_url)
    rows: dict[str, tuple[list[float], list[float]]] = {}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds} …", file=sys.stderr, flush=True)
        for kind, outage in (
            ("healthy", _healthy),
            ("refused", _refused),
            ("frozen", _frozen),
            ("blackholed", _blackholed),
        ):
            with outage(healthy_url) as url:
                first, following = _calls(url, calls)
            found = rows.setdefault(kind, ([], []))
            found[0].append(first)
            found[1].extend(following)
    return _printed(rows)


def _calls(url: str, calls: int) -> tuple[float, list[float]]:
    """Return how many milliseconds the first call took, and each of the next."""
    from celery import current_app
    from django.db import transaction

    from benchmarks.tasks import nothing
    from jobs.breaker import breaker

    current_app.conf.broker_url = url  # type: ignore[misc]
    breaker.reset()

    def once() -> float:
        began = time.perf_counter()
        with transaction.atomic():
            nothing.enqueue()
        return (time.perf_counter() - began) * 1e3

    return once(), [once() for _ in range(calls)]


def _printed(rows: dict[str, tuple[list[float], list[float]]]) -> bool:
    usual = statistics.median(rows["healthy"][1])
    kept = True
    print("milliseconds           first call   the next: p50     p95     p99     max")
    for kind, (first, following) in rows.items():
        cuts = statistics.quantiles(following, n=100)
        fits = max(first) <= FIRST_MS and statistics.median(following) <= usual + NEXT_MS
        fits = fits and cuts[98] <= usual + NEXT_MS
        kept = kept and (fits or kind == "healthy")
        print(
            f"{kind:<20}{max(first):>13.1f}{statistics.median(following):>16.2f}{cuts[94]:>8.2f}"
            f"{cuts[98]:>8.2f}{max(following):>8.1f}   {'kept' if fits else 'NOT KEPT'}"
        )
    print(f"promised: the first call within {FIRST_MS:g} ms, the next within {NEXT_MS:g} ms of")
    print("the healthy median (p50 and p99; a call in 5 s tries Redis again, and is a first one)")
    return kept


@contextmanager
def _healthy(url: str) -> Iterator[str]:
    yield url


@contextmanager
def _refused(_url: str) -> Iterator[str]:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def _frozen(url: str) -> Iterator[str]:
    import redis
    from django.conf import settings

    with redis.Redis.from_url(settings.REDIS_URL) as client:
        pid = int(client.info()["process_id"])
    os.kill(pid, signal.SIGSTOP)
    try:
        yield url
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def _blackholed(_url: str) -> Iterator[str]:
    """A port that never completes a connection: its queue is full, and nobody empties it."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        address = server.getsockname()
        fillers = [socket.socket() for _ in range(8)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        try:
            yield f"redis://127.0.0.1:{address[1]}/0"
        finally:
            for filler in fillers:
                filler.close()


if __name__ == "__main__":
    main()
