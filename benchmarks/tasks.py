"""What the benchmark runs."""

from benchmarks.effects import note
from jobs import job_task


@job_task(name="benchmarks.nothing", queue="inventory")
def nothing(*, number: int = 0) -> None:
    """Do nothing but note that it ran: what is measured is what carrying it costs."""
    note(number)
