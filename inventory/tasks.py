"""Tasks of the inventory."""

from inventory import services
from jobs import job_task


@job_task(name="inventory.check_stock", queue="inventory", atomic=True)
def check_stock(*, tenant: str, warehouse: str | None = None) -> services.CheckResult:
    """Compare every stock level of a company with its threshold, and alert."""
    return services.check_stock(tenant=tenant, warehouse=warehouse)
