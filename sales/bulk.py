"""Many orders or invoices at once, each in a transaction of its own: one refusal stops no other."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from sales import services
from sales.errors import SalesError
from sales.models import Invoice


@dataclass(kw_only=True)
class BulkResult:
    """What became of each."""

    done: int = 0
    #: Nothing was left to do.
    skipped: int = 0
    #: Id -> why not.
    refused: dict[int, str] = field(default_factory=dict)


def confirm_orders(order_ids: Iterable[int]) -> BulkResult:
    """Confirm the orders, in this order; see :func:`sales.services.confirm_order`."""
    return _each(order_ids, services.confirm_order)


def issue_invoices(order_ids: Iterable[int]) -> BulkResult:
    """Invoice the orders, in this order; see :func:`sales.services.issue_invoice`."""

    def issue(order_id: int) -> bool:
        if Invoice.objects.filter(order_id=order_id).exists():
            return False
        services.issue_invoice(order_id)
        return True

    return _each(order_ids, issue)


def send_invoices(invoice_ids: Iterable[int]) -> BulkResult:
    """Send the invoices that could not be sent; see :func:`sales.services.send_invoice`."""
    return _each(invoice_ids, services.send_invoice)


def _each(ids: Iterable[int], act: Callable[[int], bool]) -> BulkResult:
    result = BulkResult()
    for id_ in ids:
        try:
            if act(id_):
                result.done += 1
            else:
                result.skipped += 1
        except SalesError as error:
            result.refused[id_] = str(error)
    return result
