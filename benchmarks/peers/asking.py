"""The verbs that every measured system understands: ``python -m benchmarks.peers.<name> VERB``.

| verb          | what it does, and the JSON that it prints                                        |
|---------------|----------------------------------------------------------------------------------|
| `prepare`     | create its tables in an empty database                                           |
| `enqueue N`   | ask for N jobs, one by one: `{"seconds": …, "jobs": …}`                          |
| `with-row N`  | the same, each in a transaction that also inserts a row of the caller's          |
| `bulk N`      | ask for N jobs by its own call for many                                          |
| `pickup N MS` | a job about every MS ms: `{"asked": [[number, before, after], …]}`               |
| `sample N`    | ask for N jobs of many kinds (ours only): `{"jobs": …}`                          |
| `worker …`    | be a worker, if it has no command of its own                                     |

Connections are opened, and everything is imported and called once, before the clock starts; so a
few jobs more are asked for than N, which is what `jobs` tells. Only the standard library is used
here: it runs inside the peers' environments.
"""

import asyncio
import inspect
import json
import os
import random
import sys
import time
from collections.abc import Awaitable, Coroutine, Sequence
from typing import Any, TypeVar

T = TypeVar("T")

#: Jobs that are asked for before the clock starts.
WARM_UP = 20
#: Jobs in one call for many, at most.
BULK = 10_000
#: The numbers of the jobs whose pickup is measured begin here.
PICKUP = 100_000_000


class Peer:
    """One system. Its methods are plain functions, or coroutines when it is asynchronous."""

    def prepare(self) -> Awaitable[None] | None:
        """Create its tables, in an empty database."""
        return None

    def open(self) -> Awaitable[None] | None:
        """Connect."""
        return None

    def close(self) -> Awaitable[None] | None:
        """Disconnect."""
        return None

    def enqueue(self, number: int) -> Awaitable[None] | None:
        """Ask for one job, by itself."""
        raise NotImplementedError

    def enqueue_with_row(self, number: int) -> Awaitable[None] | None:
        """Ask for one job in a transaction that inserts a row, too."""
        raise NotImplementedError

    def enqueue_many(self, numbers: Sequence[int]) -> Awaitable[None] | None:
        """Ask for many jobs in one call."""
        raise NotImplementedError

    def enqueue_sample(self, jobs: int) -> Awaitable[None] | None:
        """Ask for jobs of many kinds, which growth is made of."""
        raise NotImplementedError

    def work(self, *options: str) -> Awaitable[None] | None:
        """Be a worker until it is stopped."""
        raise NotImplementedError

    def pause(self, seconds: float) -> Awaitable[None] | None:
        """Wait."""
        time.sleep(seconds)
        return None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run the measurement: without an event loop, which Django would refuse to work in."""
        try:
            work.send(None)
        except StopIteration as end:
            value: T = end.value
            return value
        raise RuntimeError("a system that is not asynchronous waited")


class AsyncPeer(Peer):
    """A system whose calls are coroutines."""

    async def pause(self, seconds: float) -> None:
        """Let others run meanwhile."""
        await asyncio.sleep(seconds)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it in an event loop."""
        return asyncio.run(work)


def main(peer: Peer) -> None:
    """Do what the command line says, and print what came of it as JSON."""
    verb, *arguments = sys.argv[1:]
    if verb == "worker":
        # Its own signals and event loop: what it is made of may want to set them up itself.
        working = peer.work(*arguments)
        if working is not None:
            asyncio.run(_awaited(working))
        return
    print(json.dumps(peer.run(_answer(peer, verb, arguments))))


async def _awaited(work: Awaitable[T]) -> T:
    return await work


async def _answer(peer: Peer, verb: str, arguments: list[str]) -> dict[str, Any]:
    if verb == "prepare":
        await _maybe(peer.prepare())
        return {}
    await _maybe(peer.open())
    try:
        numbers = [int(argument) for argument in arguments]
        if verb == "enqueue":
            return await _one_by_one(peer, peer.enqueue, numbers[0])
        if verb == "with-row":
            return await _one_by_one(peer, peer.enqueue_with_row, numbers[0])
        if verb == "bulk":
            return await _bulk(peer, numbers[0])
        if verb == "sample":
            await _maybe(peer.enqueue_sample(numbers[0]))
            return {"jobs": numbers[0]}
        if verb == "pickup":
            return await _pickup(peer, numbers[0], numbers[1] / 1e3)
    finally:
        await _maybe(peer.close())
    raise SystemExit(f"unknown verb: {verb}")


async def _one_by_one(peer: Peer, enqueue: Any, jobs: int) -> dict[str, Any]:
    is_async = inspect.iscoroutinefunction(enqueue)
    for number in range(WARM_UP):
        await _maybe(enqueue(number))
    began = time.perf_counter()
    if is_async:
        for number in range(jobs):
            await enqueue(number)
    else:
        for number in range(jobs):
            enqueue(number)
    return {"seconds": time.perf_counter() - began, "jobs": jobs + WARM_UP}


async def _bulk(peer: Peer, jobs: int) -> dict[str, Any]:
    await _maybe(peer.enqueue_many(range(WARM_UP)))
    began = time.perf_counter()
    for start in range(0, jobs, BULK):
        await _maybe(peer.enqueue_many(range(start, min(start + BULK, jobs))))
    return {"seconds": time.perf_counter() - began, "jobs": jobs + WARM_UP}


async def _pickup(peer: Peer, jobs: int, gap: float) -> dict[str, Any]:
    # Evenly spread waits, so that nothing in a system that comes back in a rhythm is hit or missed
    # by chance; the same ones for all systems.
    chance = random.Random(1)
    asked = []
    for number in range(PICKUP - WARM_UP, PICKUP + jobs):
        await _maybe(peer.pause(chance.uniform(0.5, 1.5) * gap))
        before = time.time()
        await _maybe(peer.enqueue(number))
        if number >= PICKUP:
            asked.append((number, before, time.time()))
    return {"asked": asked, "jobs": jobs + WARM_UP}


async def _maybe(value: Awaitable[T] | T) -> T:
    return await value if inspect.isawaitable(value) else value


def dsn() -> str:
    """Return the address of the system's database, as libpq and asyncpg read it."""
    return os.environ["BENCH_DSN"]
