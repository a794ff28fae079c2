"""The whole way of an order on a database that commits, as in production."""

import pytest

from jobs.inline import run_due
from jobs.models import Effect, Job
from sales import services
from sales.models import Invoice
from tests.conftest import Live, Mailbox
from tests.sales.builders import make_confirmed_order
from tests.tenants.builders import make_tenant


@pytest.mark.processes
def test_an_order_is_confirmed_invoiced_and_its_invoice_sent(live: Live, mailbox: Mailbox) -> None:
    order = make_confirmed_order(make_tenant())
    services.issue_invoice(order.pk)
    run_due()
    states = dict(Job.objects.values_list("task", "state"))
    assert states == dict.fromkeys(
        [
            "notifications.email_order_confirmation", "sales.render_order_sheet",
            "sales.render_invoice", "sales.email_invoice", "sales.record_invoice_sent",
        ],
        "succeeded",
    )  # fmt: skip
    assert Invoice.objects.get().state == "sent"
    assert len(mailbox.messages()) == Effect.objects.filter(state="done").count() == 2
