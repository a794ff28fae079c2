"""Unsubscribing by the link of an e-mail."""

from urllib.parse import urlsplit

import pytest
from django.test import Client

from notifications.kinds import Channel, Choice, Kind
from notifications.messages import unsubscribe_url
from notifications.models import Preference
from notifications.selectors import people_to_tell
from tenants.models import Role
from tests.tenants.builders import make_member, make_tenant

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:No directory at"),  # static files are not collected
]


def test_one_post_without_a_login_turns_the_e_mails_of_one_kind_off() -> None:
    tenant = make_tenant()
    user = make_member(tenant, Role.OWNER)
    path = urlsplit(unsubscribe_url(user.pk, Kind.LOW_STOCK)).path
    client = Client(enforce_csrf_checks=True)

    looked = client.get(path)
    assert looked.status_code == 200
    assert not Preference.objects.exists()  # mail scanners follow links
    done = client.post(path, {"List-Unsubscribe": "One-Click"})

    assert done.status_code == 200
    assert "unsubscribed" in done.content.decode()
    kept = Preference.objects.get()
    assert (kept.user, kept.kind, kept.channel, kept.choice) == (
        user,
        Kind.LOW_STOCK,
        Channel.EMAIL,
        Choice.OFF,
    )
    assert not people_to_tell(tenant, Kind.LOW_STOCK, channel=Channel.EMAIL).exists()
    assert people_to_tell(tenant, Kind.LOW_STOCK, channel=Channel.IN_APP).exists()


def test_a_link_that_was_tampered_with_is_not_valid() -> None:
    user = make_member(make_tenant(), Role.OWNER)
    path = urlsplit(unsubscribe_url(user.pk, Kind.LOW_STOCK)).path

    response = Client().post(path[:-3] + ("A" if path[-3] != "A" else "B") + path[-2:])

    assert response.status_code == 404
    assert not Preference.objects.exists()
