"""What business code calls to have work on the inventory done. In the caller's transaction."""

from inventory.tasks import check_stock
from jobs import Job
from tenants.models import Tenant


def queue_stock_check(*, tenant: Tenant, warehouse: str | None = None) -> Job:
    """Compare the tenant's stock with its thresholds, and alert; of one warehouse, or of all."""
    return check_stock.using(tenant=tenant.slug).enqueue(tenant=tenant.slug, warehouse=warehouse)
