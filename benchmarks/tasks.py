"""What the benchmark runs."""

from jobs import job_task


@job_task(name="benchmarks.nothing", queue="inventory")
def nothing(*, number: int = 0) -> None:
    """Do nothing: all that is measured is what carrying it costs."""
