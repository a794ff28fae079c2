"""Procrastinate, as its documentation shows it: `defer`, `batch_defer`, `run_worker_async`."""

from collections.abc import Sequence

import procrastinate

from benchmarks.effects import note
from benchmarks.peers.asking import Peer, dsn, main

app = procrastinate.App(connector=procrastinate.SyncPsycopgConnector(conninfo=dsn()))


@app.task(name="bench.nothing", queue="bench")
async def nothing(*, number: int) -> None:
    """Do nothing."""
    note(number)


class Procrastinate(Peer):
    """Its synchronous connector for callers, its asynchronous one for workers."""

    def prepare(self) -> None:
        """Apply its schema."""
        with app.open():
            app.schema_manager.apply_schema()

    def open(self) -> None:
        """Open the pool."""
        app.open()

    def close(self) -> None:
        """Close the pool."""
        app.close()

    def enqueue(self, number: int) -> None:
        """Ask for one job."""
        nothing.defer(number=number)

    def enqueue_many(self, numbers: Sequence[int]) -> None:
        """Ask for many in one call."""
        nothing.batch_defer(*({"number": number} for number in numbers))

    async def work(self, *options: str) -> None:
        """Run a worker with this many jobs at a time."""
        worker = app.with_connector(procrastinate.PsycopgConnector(conninfo=dsn()))
        async with worker.open_async():
            await worker.run_worker_async(queues=["bench"], concurrency=int(options[0]))


if __name__ == "__main__":
    main(Procrastinate())
