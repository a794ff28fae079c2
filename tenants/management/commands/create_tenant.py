"""``manage.py create_tenant SLUG``: adds a company."""

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from tenants.models import Tenant


class Command(BaseCommand):
    """Adds a company; exits with 2 when a value cannot be used, and names it."""

    help = "Add a company (a tenant)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take what a company needs."""
        parser.add_argument("slug", help="its key in jobs and commands; it never changes")
        parser.add_argument("--name", help="by default the slug")
        parser.add_argument("--timezone", default="UTC", help="an IANA name, such as Europe/Berlin")
        parser.add_argument("--currency", default="EUR", help="an ISO 4217 code")
        parser.add_argument("--locale", default="en_GB", help="such as de_DE")

    def handle(self, *args: Any, **options: Any) -> None:
        """Check and save."""
        tenant = Tenant(
            slug=options["slug"],
            name=options["name"] or options["slug"],
            timezone=options["timezone"],
            currency=options["currency"],
            locale=options["locale"],
        )
        try:
            tenant.full_clean()
        except ValidationError as error:
            problems = "; ".join(f"{k}: {' '.join(v)}" for k, v in error.message_dict.items())
            raise CommandError(problems, returncode=2) from None
        tenant.save()
        self.stdout.write(f"Created {tenant.slug}.")
