"""Tasks of the inventory."""

from inventory import services
from jobs import BegunDate, job_task
from tenants.errors import TenantOrZone
from tenants.selectors import active_tenants, get_tenant


@job_task(name="inventory.check_stock", queue="inventory", atomic=True)
def check_stock(
    *, tenant: str, warehouse: str | None = None, as_of: BegunDate = None
) -> services.CheckResult:
    """Compare a company's stock with its thresholds, and alert; for a past day, tell late."""
    return services.check_stock(tenant=tenant, warehouse=warehouse, as_of=as_of)


@job_task(name="inventory.check_stock_of_zone", queue="inventory", atomic=True)
def check_stock_of_zone(
    *, zone: str | None = None, tenant: str | None = None, as_of: BegunDate = None
) -> list[str]:
    """Have the stock of every active company of an IANA time zone checked, each by its own job.

    Or that of one company.
    """
    if (tenant is None) == (zone is None):
        raise TenantOrZone
    tenants = [get_tenant(tenant)] if tenant is not None else active_tenants(zone=zone)
    tenants = [company for company in tenants if company.is_active]
    if tenants:
        services.refuse_day_to_come(tenants[0], as_of)  # one zone, one today
    for company in tenants:
        check_stock.using(tenant=company.slug).enqueue(tenant=company.slug, as_of=as_of)
    return [company.slug for company in tenants]
