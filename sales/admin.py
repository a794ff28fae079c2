"""Customers, orders and invoices in the admin."""

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet, Sum
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import action, display

from sales import bulk
from sales.models import Customer, Invoice, Order, OrderLine

_ORDER_COLOURS = {
    "draft": "info",
    "confirmed": "success",
    "shipped": "success",
    "cancelled": "danger",
}
_INVOICE_COLOURS = {"issued": "warning", "sent": "success"}
#: How unfold shows a link among other text.
LINK = "text-primary-600 dark:text-primary-500"
#: Refusals that are listed one by one after an action.
_LISTED = 5


@admin.register(Customer)
class CustomerAdmin(ModelAdmin):
    """Who buys."""

    list_display: ClassVar = [
        "code",
        "company_name",
        "contact_name",
        "email",
        "city",
        "country",
        "tenant",
    ]
    list_display_links: ClassVar = ["code", "company_name"]
    list_filter: ClassVar = ["tenant", "country"]
    search_fields: ClassVar = ["code", "company_name", "contact_name", "email"]
    list_select_related: ClassVar = ["tenant"]
    autocomplete_fields: ClassVar = ["tenant"]


class OrderLineInline(TabularInline):
    """What was ordered; closed once the order is invoiced."""

    model = OrderLine
    extra = 0
    hide_title = True
    autocomplete_fields: ClassVar = ["product"]
    readonly_fields: ClassVar = ["amount"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[OrderLine]:
        """Fetch products with their lines."""
        lines: QuerySet[OrderLine] = super().get_queryset(request)
        return lines.select_related("product")

    def has_add_permission(self, request: HttpRequest, obj: Order | None = None) -> bool:
        """Refuse for an order that is invoiced."""
        return not _is_invoiced(obj) and bool(super().has_add_permission(request, obj))

    def has_change_permission(self, request: HttpRequest, obj: Order | None = None) -> bool:
        """Refuse for an order that is invoiced."""
        return not _is_invoiced(obj) and bool(super().has_change_permission(request, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Order | None = None) -> bool:
        """Refuse for an order that is invoiced."""
        return not _is_invoiced(obj) and bool(super().has_delete_permission(request, obj))


def _is_invoiced(order: Order | None) -> bool:
    return order is not None and hasattr(order, "invoice")


@admin.register(Order)
class OrderAdmin(ModelAdmin):
    """What customers want. States change by the actions; an invoiced order is closed."""

    list_display: ClassVar = [
        "number",
        "customer",
        "order_date",
        "shown_state",
        "total",
        "shown_invoice",
        "tenant",
    ]
    list_filter: ClassVar = ["state", "tenant", ("invoice", admin.EmptyFieldListFilter)]
    search_fields: ClassVar = ["number", "customer__company_name", "customer__code"]
    date_hierarchy = "order_date"
    list_select_related: ClassVar = ["customer", "tenant", "invoice"]
    autocomplete_fields: ClassVar = ["tenant", "customer"]
    readonly_fields: ClassVar = ["state", "confirmed_at", "shown_sheet", "shown_invoice"]
    inlines: ClassVar = [OrderLineInline]
    actions: ClassVar = ["confirm", "issue_invoices"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Order]:
        """Add each order's sum of lines."""
        orders: QuerySet[Order] = super().get_queryset(request)
        return orders.annotate(lines_sum=Sum("lines__amount"))

    def has_change_permission(self, request: HttpRequest, obj: Order | None = None) -> bool:
        """Refuse for an order that is invoiced."""
        return not _is_invoiced(obj) and bool(super().has_change_permission(request, obj))

    @display(description="state", ordering="state", label=_ORDER_COLOURS)
    def shown_state(self, order: Order) -> str:
        """Return the state, with a colour."""
        return order.state

    @display(description="total", ordering="lines_sum")
    def total(self, order: Order) -> str:
        """Return what it costs with freight."""
        return f"{(getattr(order, 'lines_sum', None) or 0) + order.freight:,.2f}"

    @display(description="invoice")
    def shown_invoice(self, order: Order) -> str:
        """Return a link to its invoice."""
        if not _is_invoiced(order):
            return "–"
        url = reverse("admin:sales_invoice_change", args=[order.invoice.pk])
        return format_html('<a class="{}" href="{}">{}</a>', LINK, url, order.invoice)

    @display(description="order sheet")
    def shown_sheet(self, order: Order) -> str:
        """Return a link to the sheet's document."""
        return _document_link(order.sheet)

    @action(description="Confirm", permissions=["change"])
    def confirm(self, request: HttpRequest, queryset: QuerySet[Order]) -> None:
        """Confirm the chosen orders, one by one."""
        result = bulk.confirm_orders(_ids(queryset))
        _tell(request, result, done="confirmed", skipped="confirmed already")

    @action(description="Issue invoices", permissions=["change"])
    def issue_invoices(self, request: HttpRequest, queryset: QuerySet[Order]) -> None:
        """Issue the invoices of the chosen orders, one by one, by order date."""
        result = bulk.issue_invoices(_ids(queryset))
        _tell(request, result, done="invoiced", skipped="invoiced already")


@admin.register(Invoice)
class InvoiceAdmin(ModelAdmin):
    """What customers owe. Written by services alone."""

    list_display: ClassVar = [
        "number",
        "order",
        "customer",
        "issued_on",
        "due_on",
        "shown_total",
        "shown_state",
        "pdf",
        "tenant",
    ]
    list_filter: ClassVar = ["state", "tenant", "year"]
    search_fields: ClassVar = ["number", "order__number", "order__customer__company_name"]
    date_hierarchy = "issued_on"
    list_select_related: ClassVar = ["order__customer", "tenant", "document"]
    fields: ClassVar = [
        "tenant",
        "number",
        "order",
        "customer",
        "shown_state",
        "issued_on",
        "due_on",
        "currency",
        "lines_total",
        "freight",
        "total",
        "pdf",
        "email",
        "sent_at",
    ]
    readonly_fields: ClassVar = ["customer", "shown_state", "total", "pdf"]
    actions: ClassVar = ["send"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: orders are invoiced by an action."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Invoice | None = None) -> bool:
        """Refuse: an invoice is final."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Invoice | None = None) -> bool:
        """Refuse: its number would be a gap."""
        return False

    def has_send_permission(self, request: HttpRequest) -> bool:
        """Allow sending to those who may change invoices, were they not final."""
        return bool(request.user.has_perm("sales.change_invoice"))

    @display(description="customer", ordering="order__customer__company_name")
    def customer(self, invoice: Invoice) -> str:
        """Return who owes it."""
        return str(invoice.order.customer)

    @display(description="total", ordering="total")
    def shown_total(self, invoice: Invoice) -> str:
        """Return the total with its currency."""
        return f"{invoice.total:,.2f} {invoice.currency}"

    @display(description="state", ordering="state", label=_INVOICE_COLOURS)
    def shown_state(self, invoice: Invoice) -> str:
        """Return the state, with a colour."""
        return invoice.state

    @display(description="PDF")
    def pdf(self, invoice: Invoice) -> str:
        """Return a link to the PDF's document."""
        return _document_link(invoice.document)

    @action(description="Send the e-mail that could not be sent", permissions=["send"])
    def send(self, request: HttpRequest, queryset: QuerySet[Invoice]) -> None:
        """Enqueue the e-mails of invoices whose customers had no address."""
        result = bulk.send_invoices(_ids(queryset))
        _tell(request, result, done="being sent", skipped="sent or being sent already")


def _ids(queryset: QuerySet[Any]) -> list[int]:
    """Return the ids of the chosen rows, the oldest first: numbers are given in this order."""
    return list(queryset.order_by("id").values_list("id", flat=True))


def _tell(request: HttpRequest, result: bulk.BulkResult, *, done: str, skipped: str) -> None:
    if result.done:
        messages.success(request, f"{result.done} {done}.")
    if result.skipped:
        messages.info(request, f"{result.skipped} {skipped}.")
    for reason in list(result.refused.values())[:_LISTED]:
        messages.error(request, reason)
    if (more := len(result.refused) - _LISTED) > 0:
        messages.error(request, f"{more} more were refused.")


def _document_link(document: Any) -> str:
    if document is None:
        return "–"
    url = reverse("admin:documents_document_download", args=[document.pk])
    return format_html('<a class="{}" href="{}" target="_blank">{}</a>', LINK, url, document)
