"""Tasks of the inventory."""

from inventory import services
from jobs import job_task
from tenants.selectors import active_tenants


@job_task(name="inventory.check_stock", queue="inventory", atomic=True)
def check_stock(*, tenant: str, warehouse: str | None = None) -> services.CheckResult:
    """Compare every stock level of a company with its threshold, and alert."""
    return services.check_stock(tenant=tenant, warehouse=warehouse)


@job_task(name="inventory.check_stock_of_zone", queue="inventory", atomic=True)
def check_stock_of_zone(*, zone: str) -> list[str]:
    """Have the stock of every active company of an IANA time zone checked, each by its own job."""
    slugs = [tenant.slug for tenant in active_tenants(zone=zone)]
    for slug in slugs:
        check_stock.using(tenant=slug).enqueue(tenant=slug)
    return slugs
