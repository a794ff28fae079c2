"""What is known about clients' compliance."""

from datetime import date

from django.db.models import Count

from compliance.models import Client, ClientScore, Risk, ScoreHistory
from tenants.models import Tenant


def figures_on(client: Client, day: date) -> ScoreHistory | None:
    """Return the client's figures on a day: the newest that are not later. None: not yet scored."""
    return client.score_history.filter(as_of__lte=day).order_by("-as_of").first()


def clients_by_risk(tenant: Tenant) -> dict[Risk, int]:
    """Return how many of a tenant's active clients have each risk, as last computed."""
    counted = dict(
        ClientScore.objects.filter(client__tenant=tenant, client__is_active=True)
        .order_by()
        .values_list("risk")
        .annotate(Count("client"))
    )
    return {risk: counted.get(risk.value, 0) for risk in Risk}
