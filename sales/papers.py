"""What the documents of an order say: the order sheet, and the invoice."""

from decimal import Decimal

from documents.contexts import (
    InvoiceContext,
    InvoiceLine,
    OrderSheetContext,
    OrderSheetLine,
    Party,
)
from sales.models import Customer, Invoice, Order
from sales.selectors import lines_of
from tenants.models import Tenant


def order_sheet(order: Order) -> OrderSheetContext:
    """Return what the order's sheet says."""
    return OrderSheetContext(
        order_number=order.number,
        ordered_on=order.order_date,
        required_on=order.required_date,
        seller=_seller(order.tenant),
        buyer=_buyer(order.customer),
        ship_to=_ship_to(order),
        ship_via=order.carrier,
        lines=[
            OrderSheetLine(
                description=line.product.name, sku=line.product.sku, quantity=Decimal(line.quantity)
            )
            for line in lines_of(order)
        ],
    )


def invoice_paper(invoice: Invoice) -> InvoiceContext:
    """Return what the invoice says."""
    order = invoice.order
    return InvoiceContext(
        number=invoice.number,
        order_number=order.number,
        issued_on=invoice.issued_on,
        due_on=invoice.due_on,
        ordered_on=order.order_date,
        seller=_seller(invoice.tenant),
        buyer=_buyer(order.customer),
        ship_to=_ship_to(order),
        lines=[
            InvoiceLine(
                description=line.product.name,
                sku=line.product.sku,
                quantity=Decimal(line.quantity),
                unit_price=line.unit_price,
                discount=line.discount,
                amount=line.amount,
            )
            for line in lines_of(order)
        ],
        freight=invoice.freight,
        total=invoice.total,
        currency=invoice.currency,
    )


def ship_to_line(order: Order) -> str:
    """Return where the order goes, on one line."""
    party = _ship_to(order)
    return ", ".join(part for part in (party.name, *party.address_lines) if part)


def _seller(tenant: Tenant) -> Party:
    return Party(name=tenant.name, address=tenant.address)


def _buyer(customer: Customer) -> Party:
    return Party(
        name=customer.company_name,
        address=_address(
            customer.address,
            customer.postal_code,
            customer.city,
            customer.region,
            customer.country,
        ),
        contact=customer.contact_name,
        reference=customer.code,
    )


def _ship_to(order: Order) -> Party:
    return Party(
        name=order.ship_name or order.customer.company_name,
        address=_address(
            order.ship_address,
            order.ship_postal_code,
            order.ship_city,
            order.ship_region,
            order.ship_country,
        ),
    )


def _address(street: str, postal_code: str, city: str, region: str, country: str) -> str:
    town = " ".join(part for part in (postal_code, city, region) if part)
    return "\n".join(part for part in (street, town, country) if part)
