"""Oban for Python, open source, as its documentation and its command `oban start` set it up."""

import asyncio
import signal
from collections.abc import Sequence

import orjson
import uvloop
from oban import Oban, worker
from oban.job import Job
from oban.schema import install
from psycopg.types.json import set_json_dumps, set_json_loads

from benchmarks.effects import note
from benchmarks.peers.asking import AsyncPeer, dsn, main


@worker(queue="bench")
class Nothing:
    """A class, because 0.7.0 wraps the arguments of a function (`@job`) twice when enqueued."""

    async def process(self, job: Job) -> None:
        """Do nothing."""
        note(job.args["number"])


class ObanJobs(AsyncPeer):
    """Its own connection pool, with uvloop and orjson as its command has it."""

    def __init__(self) -> None:
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
        set_json_dumps(orjson.dumps)
        set_json_loads(orjson.loads)

    async def prepare(self) -> None:
        """Install its schema."""
        pool = await Oban.create_pool(dsn())
        await install(pool)
        await pool.close()

    async def open(self) -> None:
        """Connect."""
        self._pool = await Oban.create_pool(dsn())
        self._oban = Oban(pool=self._pool)

    async def close(self) -> None:
        """Disconnect."""
        await self._pool.close()

    async def enqueue(self, number: int) -> None:
        """Ask for one job."""
        await Nothing.enqueue({"number": number})  # type: ignore[attr-defined]

    async def enqueue_many(self, numbers: Sequence[int]) -> None:
        """Ask for many in one call."""
        new = Nothing.new  # type: ignore[attr-defined]
        await self._oban.enqueue_many(new({"number": number}) for number in numbers)

    async def work(self, *options: str) -> None:
        """Run a worker with this many jobs at a time."""
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        pool = await Oban.create_pool(dsn())
        async with Oban(pool=pool, queues={"bench": int(options[0])}):
            await stop.wait()
        await pool.close()


if __name__ == "__main__":
    main(ObanJobs())
