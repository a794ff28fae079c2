"""What the database refuses about companies and members."""

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError

from tenants.models import Member, Role, Tenant
from tests.tenants.builders import make_member, make_tenant


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("slug", "Acme GmbH"),
        ("slug", "../etc"),
        ("timezone", "Mars/Olympus"),
        ("currency", "EURO"),
        ("locale", "klingon"),
    ],
)
@pytest.mark.django_db
def test_a_value_that_cannot_be_used_is_refused_and_names_its_field(field: str, value: str) -> None:
    tenant = Tenant(**{"slug": "acme", "name": "Acme"} | {field: value})

    with pytest.raises(ValidationError) as caught:
        tenant.full_clean()
    assert list(caught.value.message_dict) == [field]


@pytest.mark.django_db
def test_a_person_has_one_role_in_a_company() -> None:
    tenant = make_tenant()
    user = make_member(tenant, Role.OWNER)

    with pytest.raises(IntegrityError, match="tenants_member_once"):
        Member.objects.create(tenant=tenant, user=user, role=Role.VIEWER)
