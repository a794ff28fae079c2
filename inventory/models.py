"""What a company keeps, where, how much of it, and when that is too little.

Quantities are whole units of the product. Stock changes only through :mod:`inventory.services`,
which writes the ledger in the same transaction. What else a check of the stock looks at or tells is
kept as it was before it changed, for the check of a past day (:mod:`inventory.past_stock`).
"""

from decimal import Decimal
from typing import ClassVar

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from tenants.history import Recorded, keep_history
from tenants.models import Tenant, User


@keep_history("tenant", "sku", "name", "threshold", "is_active")
class Product(Recorded):
    """Something a company buys, keeps and sells. The SKU is its name among programs."""

    tenant = models.ForeignKey(
        Tenant, on_delete=models.CASCADE, related_name="products", db_index=False
    )
    sku = models.CharField("SKU", max_length=64)
    name = models.CharField(max_length=200)
    category = models.CharField(max_length=100, blank=True, default="")
    supplier = models.CharField(max_length=200, blank=True, default="")
    quantity_per_unit = models.CharField(max_length=100, blank=True, default="")
    #: In the tenant's currency.
    unit_price = models.DecimalField(
        max_digits=12, decimal_places=2, default=Decimal(0), validators=[MinValueValidator(0)]
    )
    #: The reorder level: stock at or below it is low. Zero: nobody is told.
    threshold = models.PositiveIntegerField(default=0)
    #: A product that is not active is not sold any more, and nobody is told that it runs low.
    is_active = models.BooleanField(default=True)

    class Meta:
        ordering: ClassVar = ["tenant", "sku"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "sku"], name="inventory_product_sku"),
            models.CheckConstraint(condition=~Q(sku=""), name="inventory_product_has_sku"),
            models.CheckConstraint(
                condition=Q(unit_price__gte=0), name="inventory_product_price_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.sku} {self.name}"


@keep_history("tenant", "code", "name", "is_active")
class Warehouse(Recorded):
    """A place where stock lies."""

    #: The code of the warehouse that stock goes to when nobody says where.
    DEFAULT: ClassVar = "main"

    tenant = models.ForeignKey(
        Tenant, on_delete=models.CASCADE, related_name="warehouses", db_index=False
    )
    code = models.CharField(max_length=32)
    name = models.CharField(max_length=200)
    is_active = models.BooleanField(default=True)

    class Meta:
        ordering: ClassVar = ["tenant", "code"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "code"], name="inventory_warehouse_code"),
            models.CheckConstraint(condition=~Q(code=""), name="inventory_warehouse_has_code"),
        ]

    def __str__(self) -> str:
        return self.name


@keep_history("product", "warehouse", "threshold", "on_order", besides=("quantity",))
class Stock(Recorded):
    """How much of a product lies in a warehouse. The sum of its movements, always."""

    product = models.ForeignKey(
        Product, on_delete=models.PROTECT, related_name="stock", db_index=False
    )
    warehouse = models.ForeignKey(Warehouse, on_delete=models.PROTECT, related_name="stock")
    quantity = models.IntegerField(default=0, editable=False)
    #: Ordered from the supplier and not there yet.
    on_order = models.PositiveIntegerField(default=0)
    threshold = models.PositiveIntegerField(
        null=True, blank=True, help_text="Here, instead of the product's. Empty: the product's."
    )

    class Meta:
        ordering: ClassVar = ["product", "warehouse"]
        verbose_name_plural = "stock"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["product", "warehouse"], name="inventory_stock_place"),
            models.CheckConstraint(
                condition=Q(quantity__gte=0), name="inventory_stock_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.product} in {self.warehouse}"


class Movement(models.Model):
    """A line of the stock ledger: what came or went. The database refuses to change it."""

    class Reason(models.TextChoices):
        """Why stock moved."""

        IMPORT = "import"
        RECEIPT = "receipt"
        SHIPMENT = "shipment"
        ADJUSTMENT = "adjustment"

    id = models.BigAutoField(primary_key=True)
    stock = models.ForeignKey(Stock, on_delete=models.PROTECT, related_name="movements")
    #: Units that came (above zero) or went (below).
    change = models.IntegerField()
    #: Units there afterwards.
    quantity = models.IntegerField()
    reason = models.CharField(max_length=16, choices=Reason.choices)
    #: What it belongs to, such as ``order:10248`` or ``import:7``.
    reference = models.CharField(max_length=100, blank=True, default="")
    #: ``user:<name>``, ``job:<id>``, ``system``.
    actor = models.CharField(max_length=150)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=~Q(change=0), name="inventory_movement_moves"),
            models.CheckConstraint(
                condition=Q(quantity__gte=0), name="inventory_movement_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.change:+d} ({self.reason})"


class Severity(models.IntegerChoices):
    """How far below its threshold a stock is; larger is worse."""

    LOW = 1, "low"
    MEDIUM = 2, "medium"
    HIGH = 3, "high"
    CRITICAL = 4, "critical"


@keep_history(
    "severity",
    "quantity",
    "threshold",
    "announced_severity",
    "closed_at",
    besides=("stock", "announced_at"),
)
class StockAlert(Recorded):
    """A stock at or below its threshold, from when that was seen until it has recovered.

    Written by :mod:`inventory.alerts` alone. Of alerts from before their history was kept only
    their last state is known, and when they were opened and closed.
    """

    stock = models.ForeignKey(Stock, on_delete=models.CASCADE, related_name="alerts")
    severity = models.SmallIntegerField(choices=Severity.choices)
    #: Units there, and the threshold, at the newest check that found a change.
    quantity = models.IntegerField()
    threshold = models.IntegerField()
    opened_at = models.DateTimeField(db_default=Now())
    #: The worst severity that people were told of.
    announced_severity = models.SmallIntegerField(choices=Severity.choices, null=True)
    announced_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["-opened_at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["stock"],
                condition=Q(closed_at__isnull=True),
                name="inventory_alert_one_open",
            ),
            models.CheckConstraint(
                condition=Q(severity__in=Severity.values), name="inventory_alert_severity_known"
            ),
            models.CheckConstraint(
                condition=Q(quantity__lte=F("threshold"), threshold__gt=0),
                name="inventory_alert_is_low",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.stock}: {self.get_severity_display()}"

    @property
    def is_open(self) -> bool:
        """Whether the stock has not recovered yet."""
        return self.closed_at is None


class LateNews(models.Model):
    """That a late check of a past day told a person of a stock, and how bad it was called.

    Written by :mod:`inventory.announcements` alone, so that the next check of that day tells only
    what is news to the person. Nothing else says it for good: jobs, which list the stocks of an
    e-mail, are pruned, and beyond the first stocks people get one notice for all.
    """

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+", db_index=False)
    day = models.DateField()
    #: No foreign key: of a past day, the stock may be gone.
    stock_id = models.BigIntegerField()
    severity = models.SmallIntegerField(choices=Severity.choices)

    class Meta:
        verbose_name_plural = "late news"
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["user", "day", "stock_id"], name="inventory_late_news_once"
            ),
            models.CheckConstraint(
                condition=Q(severity__in=Severity.values), name="inventory_late_news_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.day}: stock {self.stock_id}, {self.get_severity_display()}"
