"""The delivery log and the inbox in the admin."""

import pytest
from django.test import Client
from django.urls import reverse

from notifications.inbox import notify
from notifications.kinds import Kind
from tests.tenants.builders import make_tenant, make_user

from .builders import notice, queue_confirmation

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:No directory at"),  # static files are not collected
]


def test_staff_see_deliveries_and_notices_and_change_neither(client: Client) -> None:
    staff = make_user(is_staff=True, is_superuser=True)
    delivery = queue_confirmation(make_tenant())
    notify(user_ids=[staff.pk], tenant=None, kind=Kind.SYSTEM, notices=[notice()])
    client.force_login(staff)

    listed = client.get(reverse("admin:notifications_delivery_changelist")).content.decode()
    shown = client.get(reverse("admin:notifications_delivery_change", args=[delivery.pk]))
    notices = client.get(reverse("admin:notifications_notification_changelist")).content.decode()

    assert "ann@chevalier.example" in listed
    assert str(delivery.job_id) in shown.content.decode()
    assert "Chai is low" in notices
    for model in ("delivery", "notification"):
        assert client.get(reverse(f"admin:notifications_{model}_add")).status_code == 403
    assert client.get(reverse("admin:notifications_preference_changelist")).status_code == 200


def test_people_and_companies_can_be_kept_in_the_admin(client: Client) -> None:
    client.force_login(make_user(is_staff=True, is_superuser=True))
    tenant = make_tenant(slug="acme")

    for model, pk in (("tenant", tenant.pk), ("user", make_user().pk)):
        assert client.get(reverse(f"admin:tenants_{model}_changelist")).status_code == 200
        assert client.get(reverse(f"admin:tenants_{model}_change", args=[pk])).status_code == 200
    page = client.get(reverse("admin:tenants_tenant_change", args=[tenant.pk])).content.decode()
    assert 'name="slug"' not in page
    assert client.get(reverse("admin:tenants_member_changelist")).status_code == 200
