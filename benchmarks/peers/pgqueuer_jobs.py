"""PgQueuer with asyncpg and uvloop; its workers take batches, and write outcomes in batches."""

import asyncio
import json
import signal
from collections.abc import Sequence

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from benchmarks.effects import note
from benchmarks.peers.asking import AsyncPeer, dsn, main


class PgQueuerJobs(AsyncPeer):
    """One connection for callers, one for each worker, as its examples have it."""

    def __init__(self) -> None:
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())

    async def prepare(self) -> None:
        """Install its schema."""
        await self.open()
        await self._queries.install()
        await self.close()

    async def open(self) -> None:
        """Connect."""
        self._connection = await asyncpg.connect(dsn())
        self._queries = Queries(AsyncpgDriver(self._connection))

    async def close(self) -> None:
        """Disconnect."""
        await self._connection.close()

    async def enqueue(self, number: int) -> None:
        """Ask for one job."""
        await self._queries.enqueue("nothing", json.dumps({"number": number}).encode())

    async def enqueue_many(self, numbers: Sequence[int]) -> None:
        """Ask for many in one call."""
        payloads: list[bytes | None] = [json.dumps({"number": n}).encode() for n in numbers]
        await self._queries.enqueue(["nothing"] * len(payloads), payloads, [0] * len(payloads))

    async def work(self, *options: str) -> None:
        """Run a worker that takes this many jobs at a time."""
        queuer = PgQueuer(AsyncpgDriver(await asyncpg.connect(dsn())))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, queuer.shutdown.set)

        @queuer.entrypoint("nothing")
        async def nothing(job: Job) -> None:
            note(json.loads(job.payload or b"{}")["number"])

        await queuer.run(batch_size=int(options[0]))


if __name__ == "__main__":
    main(PgQueuerJobs())
