"""The inventory app."""

from django.apps import AppConfig


class InventoryConfig(AppConfig):
    """Products, warehouses, stock, low stock."""

    name = "inventory"
    verbose_name = "Inventory"

    def ready(self) -> None:
        """Offer what can be imported here."""
        from imports.registry import register
        from inventory.importing import PRODUCTS

        register(PRODUCTS)
