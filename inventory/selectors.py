"""Reads of the inventory."""

from django.db.models import QuerySet

from inventory.errors import UnknownWarehouse
from inventory.models import StockAlert, Warehouse
from tenants.models import Tenant


def get_warehouse(tenant: Tenant, code: str) -> Warehouse:
    """Return the tenant's warehouse of this code; raises ``UnknownWarehouse``."""
    warehouses = Warehouse.objects.filter(tenant=tenant)
    try:
        return warehouses.get(code=code)
    except Warehouse.DoesNotExist:
        raise UnknownWarehouse(code, warehouses.values_list("code", flat=True)) from None


def open_alerts(tenant: Tenant) -> QuerySet[StockAlert]:
    """Return the tenant's alerts whose stock has not recovered, the worst first."""
    alerts = StockAlert.objects.filter(closed_at__isnull=True, stock__product__tenant=tenant)
    return alerts.select_related("stock__product", "stock__warehouse").order_by("-severity", "id")
