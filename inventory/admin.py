"""Products, warehouses, stock, its ledger and alerts in the admin."""

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import action, display

from inventory.models import Movement, Product, Severity, Stock, StockAlert, Warehouse
from inventory.task_helpers import queue_stock_check
from tenants.models import Tenant

_SEVERITY_COLOURS = {
    Severity.CRITICAL.label: "danger",
    Severity.HIGH.label: "warning",
    Severity.MEDIUM.label: "info",
    Severity.LOW.label: "success",
}


class ReadOnlyAdmin(ModelAdmin):
    """Rows that services write, and nobody else."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse."""
        return False


class StockInline(TabularInline):
    """Where a product lies, and how much of it."""

    model = Stock
    extra = 0
    hide_title = True
    can_delete = False
    readonly_fields: ClassVar = ["quantity"]
    autocomplete_fields: ClassVar = ["warehouse"]


@admin.register(Product)
class ProductAdmin(ModelAdmin):
    """What a company sells."""

    list_display: ClassVar = [
        "sku",
        "name",
        "category",
        "unit_price",
        "threshold",
        "is_active",
        "tenant",
    ]
    list_display_links: ClassVar = ["sku", "name"]
    list_filter: ClassVar = ["tenant", "is_active", "category"]
    search_fields: ClassVar = ["sku", "name", "supplier"]
    list_select_related: ClassVar = ["tenant"]
    autocomplete_fields: ClassVar = ["tenant"]
    inlines: ClassVar = [StockInline]


@admin.register(Warehouse)
class WarehouseAdmin(ModelAdmin):
    """Where stock lies."""

    list_display: ClassVar = ["name", "code", "is_active", "tenant"]
    list_filter: ClassVar = ["tenant", "is_active"]
    search_fields: ClassVar = ["code", "name"]
    list_select_related: ClassVar = ["tenant"]
    autocomplete_fields: ClassVar = ["tenant"]


@admin.register(Stock)
class StockAdmin(ModelAdmin):
    """How much there is. The quantity changes by movements alone; thresholds can be typed here."""

    list_display: ClassVar = ["product", "warehouse", "quantity", "on_order", "threshold"]
    list_filter: ClassVar = ["product__tenant", "warehouse"]
    search_fields: ClassVar = ["product__sku", "product__name"]
    list_select_related: ClassVar = ["product", "warehouse"]
    fields: ClassVar = ["product", "warehouse", "quantity", "on_order", "threshold"]
    readonly_fields: ClassVar = ["product", "warehouse", "quantity"]
    actions: ClassVar = ["check_now"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: stock comes with its product."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Stock | None = None) -> bool:
        """Refuse: its ledger stays."""
        return False

    @action(description="Check the stock of these companies now", permissions=["change"])
    def check_now(self, request: HttpRequest, queryset: QuerySet[Stock]) -> None:
        """Enqueue a stock check for each company among the chosen rows."""
        tenants = Tenant.objects.filter(id__in=queryset.values("product__tenant_id"))
        for tenant in tenants:
            job = queue_stock_check(tenant=tenant)
            messages.success(request, f"{tenant}: the stock is checked by job {job.id}.")


@admin.register(Movement)
class MovementAdmin(ReadOnlyAdmin):
    """The stock ledger."""

    list_display: ClassVar = ["at", "stock", "change", "quantity", "reason", "reference", "actor"]
    list_filter: ClassVar = ["stock__product__tenant", "reason"]
    search_fields: ClassVar = ["stock__product__sku", "reference"]
    list_select_related: ClassVar = ["stock__product", "stock__warehouse"]


class OpenFilter(admin.SimpleListFilter):
    """Alerts that are open, unless one asks for others."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer the other choices; no choice means open."""
        return [("closed", "Closed"), ("all", "All")]

    def choices(self, changelist: Any) -> Any:
        """Call the default by its name."""
        for at, choice in enumerate(super().choices(changelist)):
            yield {**choice, "display": "Open"} if at == 0 else choice

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[StockAlert]
    ) -> QuerySet[StockAlert]:
        """Filter."""
        if self.value() == "all":
            return queryset
        return queryset.filter(closed_at__isnull=self.value() != "closed")


@admin.register(StockAlert)
class StockAlertAdmin(ReadOnlyAdmin):
    """Stock that is low."""

    list_display: ClassVar = [
        "product",
        "warehouse",
        "shown_severity",
        "quantity",
        "threshold",
        "opened_at",
        "announced_at",
        "closed_at",
    ]
    list_filter: ClassVar = [OpenFilter, "severity", "stock__product__tenant", "stock__warehouse"]
    search_fields: ClassVar = ["stock__product__sku", "stock__product__name"]
    list_select_related: ClassVar = ["stock__product", "stock__warehouse"]
    ordering: ClassVar = ["-severity", "-opened_at", "-id"]

    @display(description="product", ordering="stock__product__name")
    def product(self, alert: StockAlert) -> str:
        """Return what is low."""
        return str(alert.stock.product)

    @display(description="warehouse", ordering="stock__warehouse__name")
    def warehouse(self, alert: StockAlert) -> str:
        """Return where."""
        return str(alert.stock.warehouse)

    @display(description="severity", ordering="severity", label=_SEVERITY_COLOURS)
    def shown_severity(self, alert: StockAlert) -> str:
        """Return how bad, with a colour."""
        return alert.get_severity_display()
