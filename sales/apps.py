"""The sales app."""

from django.apps import AppConfig


class SalesConfig(AppConfig):
    """Customers, orders, invoices."""

    name = "sales"
    verbose_name = "Sales"

    def ready(self) -> None:
        """Offer what can be imported here."""
        from imports.registry import register
        from sales.importing import CUSTOMERS, ORDER_LINES, ORDERS

        for importer in (CUSTOMERS, ORDERS, ORDER_LINES):
            register(importer)
