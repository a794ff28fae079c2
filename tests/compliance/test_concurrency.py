"""Two refreshes at the same moment, on real connections."""

import threading

from django.db import connection, transaction

from compliance.services import Refresh, refresh_scores
from notifications.models import Notification
from tenants.models import Member, Role, User
from tests.conftest import Live, query, wait_until

from .builders import DAY, add_issues, make_client, make_tenant


def test_two_refreshes_at_once_announce_a_rise_once(live: Live) -> None:
    client = make_client(make_tenant())
    owner = User.objects.create(username="owner")
    Member.objects.create(tenant=client.tenant, user=owner, role=Role.OWNER)
    refresh_scores(as_of=DAY)
    add_issues(client, 6)
    second: list[Refresh] = []

    def refresh_elsewhere() -> None:
        second.append(refresh_scores(as_of=DAY))
        connection.close()

    other = threading.Thread(target=refresh_elsewhere)
    with transaction.atomic():
        first = refresh_scores(as_of=DAY)
        other.start()
        wait_until(
            lambda: query("SELECT 1 FROM pg_locks WHERE NOT granted"),
            what="the second refresh to wait for the first",
        )
        add_issues(client, 1)  # rows can be added while the other waits
    other.join(30)

    assert (first.raised, first.changed) == (1, 1)
    assert (second[0].raised, second[0].changed) == (0, 1)
    assert Notification.objects.count() == 1
