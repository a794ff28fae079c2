"""Who buys what, and what they owe. Money is in the tenant's currency; days are the tenant's."""

from decimal import Decimal
from typing import ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Now, Round

from documents.models import Document
from inventory.models import Product
from notifications.models import Delivery
from sales.money import line_amount
from tenants.models import Tenant


class Customer(models.Model):
    """Somebody who buys. The code is the tenant's own name for them."""

    tenant = models.ForeignKey(
        Tenant, on_delete=models.CASCADE, related_name="customers", db_index=False
    )
    code = models.CharField(max_length=64)
    company_name = models.CharField(max_length=200)
    contact_name = models.CharField(max_length=200, blank=True, default="")
    contact_title = models.CharField(max_length=100, blank=True, default="")
    #: Where confirmations and invoices go; empty: nothing is e-mailed.
    email = models.EmailField(blank=True, default="")
    phone = models.CharField(max_length=50, blank=True, default="")
    address = models.CharField(max_length=200, blank=True, default="")
    city = models.CharField(max_length=100, blank=True, default="")
    region = models.CharField(max_length=100, blank=True, default="")
    postal_code = models.CharField(max_length=20, blank=True, default="")
    country = models.CharField(max_length=100, blank=True, default="")

    class Meta:
        ordering: ClassVar = ["tenant", "code"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "code"], name="sales_customer_code"),
            models.CheckConstraint(condition=~Q(code=""), name="sales_customer_has_code"),
        ]

    def __str__(self) -> str:
        return self.company_name


class Order(models.Model):
    """What a customer wants. Whether it is invoiced, its invoice says."""

    class State(models.TextChoices):
        """How far an order is."""

        DRAFT = "draft"
        CONFIRMED = "confirmed"
        SHIPPED = "shipped"
        CANCELLED = "cancelled"

    tenant = models.ForeignKey(
        Tenant, on_delete=models.CASCADE, related_name="orders", db_index=False
    )
    number = models.CharField(max_length=64)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="orders")
    state = models.CharField(
        max_length=16, choices=State.choices, default=State.DRAFT, editable=False
    )
    order_date = models.DateField()
    required_date = models.DateField(null=True, blank=True)
    shipped_date = models.DateField(null=True, blank=True)
    carrier = models.CharField(max_length=100, blank=True, default="")
    freight = models.DecimalField(
        max_digits=12, decimal_places=2, default=Decimal(0), validators=[MinValueValidator(0)]
    )
    ship_name = models.CharField(max_length=200, blank=True, default="")
    ship_address = models.CharField(max_length=200, blank=True, default="")
    ship_city = models.CharField(max_length=100, blank=True, default="")
    ship_region = models.CharField(max_length=100, blank=True, default="")
    ship_postal_code = models.CharField(max_length=20, blank=True, default="")
    ship_country = models.CharField(max_length=100, blank=True, default="")
    confirmed_at = models.DateTimeField(null=True, editable=False)
    #: The order sheet, once rendered.
    sheet = models.ForeignKey(
        Document, null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )

    class Meta:
        ordering: ClassVar = ["tenant", "-order_date", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "number"], name="sales_order_number"),
            models.CheckConstraint(condition=~Q(number=""), name="sales_order_has_number"),
            models.CheckConstraint(
                condition=Q(freight__gte=0), name="sales_order_freight_not_negative"
            ),
            models.CheckConstraint(
                condition=Q(state__in=["draft", "confirmed", "shipped", "cancelled"]),
                name="sales_order_state_known",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["confirmed", "shipped"]) | Q(confirmed_at__isnull=False),
                name="sales_order_confirmed_has_time",
            ),
        ]

    def __str__(self) -> str:
        return self.number


class OrderLine(models.Model):
    """One product of an order."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="lines", db_index=False)
    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="order_lines")
    unit_price = models.DecimalField(
        max_digits=12, decimal_places=2, validators=[MinValueValidator(0)]
    )
    quantity = models.PositiveIntegerField(validators=[MinValueValidator(1)])
    discount = models.DecimalField(
        max_digits=5,
        decimal_places=4,
        default=Decimal(0),
        validators=[MinValueValidator(0), MaxValueValidator(1)],
        help_text="The part that is not paid, from 0 to 1.",
    )
    #: What the line costs, rounded half-up to cents; the database computes it.
    amount = models.GeneratedField(
        expression=Round(
            F("unit_price") * F("quantity") * (Value(Decimal(1)) - F("discount")), precision=2
        ),
        output_field=models.DecimalField(max_digits=20, decimal_places=2),
        db_persist=True,
    )

    class Meta:
        ordering: ClassVar = ["order", "id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["order", "product"], name="sales_orderline_product"),
            models.CheckConstraint(
                condition=Q(unit_price__gte=0), name="sales_orderline_price_not_negative"
            ),
            models.CheckConstraint(
                condition=Q(quantity__gt=0), name="sales_orderline_quantity_above_zero"
            ),
            models.CheckConstraint(
                condition=Q(discount__gte=0, discount__lte=1), name="sales_orderline_discount_part"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} × {self.product}"

    def compute_amount(self) -> Decimal:
        """Return what ``amount`` will be once the line is saved."""
        return line_amount(self.unit_price, self.quantity, self.discount)


class InvoiceCounter(models.Model):
    """The last invoice number of a tenant and year. Its row is locked until the invoice commits."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+", db_index=False)
    year = models.PositiveSmallIntegerField()
    last = models.PositiveIntegerField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "year"], name="sales_invoicecounter_once"),
        ]

    def __str__(self) -> str:
        return f"{self.year}: {self.last}"


class Invoice(models.Model):
    """What a customer owes for an order, as it was when it was issued."""

    class State(models.TextChoices):
        """How far an invoice is."""

        ISSUED = "issued"
        SENT = "sent"

    # Not CASCADE: an invoice number that vanishes is a gap.
    tenant = models.ForeignKey(
        Tenant, on_delete=models.PROTECT, related_name="invoices", db_index=False
    )
    order = models.OneToOneField(Order, on_delete=models.PROTECT, related_name="invoice")
    year = models.PositiveSmallIntegerField()
    #: From 1, without a gap per tenant and year.
    sequence = models.PositiveIntegerField()
    #: As printed: ``2026-000001``.
    number = models.CharField(max_length=32)
    state = models.CharField(max_length=16, choices=State.choices, default=State.ISSUED)
    issued_on = models.DateField()
    due_on = models.DateField()
    currency = models.CharField(max_length=3)
    lines_total = models.DecimalField(max_digits=20, decimal_places=2)
    freight = models.DecimalField(max_digits=12, decimal_places=2)
    total = models.GeneratedField(
        expression=F("lines_total") + F("freight"),
        output_field=models.DecimalField(max_digits=20, decimal_places=2),
        db_persist=True,
    )
    #: The PDF, once rendered.
    document = models.ForeignKey(Document, null=True, on_delete=models.PROTECT, related_name="+")
    #: The e-mail that carries it, from when it is asked for; null when it goes to nobody.
    email = models.ForeignKey(Delivery, null=True, on_delete=models.SET_NULL, related_name="+")
    issued_at = models.DateTimeField(db_default=Now())
    sent_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["tenant", "-year", "-sequence"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "year", "sequence"], name="sales_invoice_sequence"
            ),
            models.UniqueConstraint(fields=["tenant", "number"], name="sales_invoice_number"),
            models.CheckConstraint(
                condition=Q(due_on__gte=F("issued_on")), name="sales_invoice_due_after_issued"
            ),
            models.CheckConstraint(
                condition=Q(state="issued", sent_at__isnull=True)
                | Q(state="sent", sent_at__isnull=False, document__isnull=False),
                name="sales_invoice_sent_has_time_and_document",
            ),
        ]

    def __str__(self) -> str:
        return self.number
