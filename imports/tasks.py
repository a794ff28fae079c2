"""Tasks of the imports."""

from typing import Any

from imports import selectors, services
from jobs import job_task


@job_task(name="imports.run_import", queue="imports")
def run_import(*, run_id: int) -> dict[str, Any]:
    """Check and load the file of an import."""
    # Not atomic: progress is to be seen while it runs. The load itself is one transaction that
    # also marks the run, so a second run finds it done.
    return selectors.summary(services.execute_import(run_id))
