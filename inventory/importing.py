"""Importing products, with their stock in the default warehouse.

The file is the truth about the stock: what it says replaces what is there, as a movement in the
ledger. Products that the file does not name stay as they are.
"""

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from imports.registry import Importer
from imports.rows import ImportRow, Number, Whole, YesOrNo
from imports.staging import Staging
from inventory.models import Movement
from inventory.services import ensure_default_warehouse
from jobs.context import current_context

#: PostgreSQL's largest ``integer``.
_MOST = 2_147_483_647
Units = Annotated[Whole, Field(ge=0, le=_MOST)]
Price = Annotated[Number, Field(ge=0, max_digits=12, decimal_places=2)]


class ProductRow(ImportRow):
    """A row of ``products.csv``. Prices are in the tenant's currency."""

    product_id: Annotated[str, Field(max_length=64)]
    product_name: Annotated[str, Field(max_length=200)]
    category_name: Annotated[str, Field(max_length=100)] = ""
    supplier: Annotated[str, Field(max_length=200)] = ""
    quantity_per_unit: Annotated[str, Field(max_length=100)] = ""
    unit_price: Price = Decimal(0)
    units_in_stock: Units = 0
    units_on_order: Units = 0
    reorder_level: Units = 0
    discontinued: YesOrNo = False


_PRODUCTS = """
    WITH upserted AS (
        INSERT INTO inventory_product AS product
            (tenant_id, sku, name, category, supplier, quantity_per_unit, unit_price, threshold,
             is_active)
        SELECT %(tenant)s, product_id, product_name, category_name, supplier, quantity_per_unit,
               unit_price, reorder_level, NOT discontinued
        FROM import_rows ORDER BY product_id
        ON CONFLICT (tenant_id, sku) DO UPDATE
        SET name = excluded.name, category = excluded.category, supplier = excluded.supplier,
            quantity_per_unit = excluded.quantity_per_unit, unit_price = excluded.unit_price,
            threshold = excluded.threshold, is_active = excluded.is_active
        WHERE (product.name, product.category, product.supplier, product.quantity_per_unit,
               product.unit_price, product.threshold, product.is_active)
              IS DISTINCT FROM
              (excluded.name, excluded.category, excluded.supplier, excluded.quantity_per_unit,
               excluded.unit_price, excluded.threshold, excluded.is_active)
        RETURNING product.sku, old.id IS NULL AS is_new
    )
    UPDATE import_rows
    SET outcome = CASE WHEN upserted.is_new THEN 'created' ELSE 'updated' END
    FROM upserted WHERE upserted.sku = import_rows.product_id
"""

# What is on order of a new product is there at once: its change would be kept in the history.
_NEW_STOCK = """
    INSERT INTO inventory_stock (product_id, warehouse_id, quantity, on_order)
    SELECT product.id, %(warehouse)s, 0,
           CASE WHEN import_rows.outcome = 'created' THEN import_rows.units_on_order ELSE 0 END
    FROM import_rows
    JOIN inventory_product product
      ON product.tenant_id = %(tenant)s AND product.sku = import_rows.product_id
    ORDER BY product.id
    ON CONFLICT (product_id, warehouse_id) DO NOTHING
"""

# Locked first and in one order, so that the difference to what is there is still true when it is
# written, and other movements of the same stock wait instead of deadlocking.
_LOCK_STOCK = """
    SELECT count(*) FROM (
        SELECT FROM import_rows
        JOIN inventory_product product
          ON product.tenant_id = %(tenant)s AND product.sku = import_rows.product_id
        JOIN inventory_stock stock
          ON stock.product_id = product.id AND stock.warehouse_id = %(warehouse)s
        ORDER BY stock.id FOR UPDATE OF stock
    ) locked
"""

_STOCK = """
    WITH changed AS (
        UPDATE inventory_stock stock
        SET quantity = import_rows.units_in_stock, on_order = import_rows.units_on_order
        FROM import_rows JOIN inventory_product product
          ON product.tenant_id = %(tenant)s AND product.sku = import_rows.product_id
        WHERE stock.product_id = product.id AND stock.warehouse_id = %(warehouse)s
          AND (stock.quantity, stock.on_order)
              IS DISTINCT FROM (import_rows.units_in_stock, import_rows.units_on_order)
        RETURNING stock.id, import_rows.line, old.quantity AS before, new.quantity AS after
    ), ledger AS (
        INSERT INTO inventory_movement (stock_id, change, quantity, reason, reference, actor)
        SELECT id, after - before, after, %(reason)s, 'import:' || %(run)s::text, %(actor)s
        FROM changed WHERE after <> before
    )
    UPDATE import_rows SET outcome = 'updated'
    FROM changed WHERE changed.line = import_rows.line AND outcome = 'unchanged'
"""


def load_products(staging: Staging) -> None:
    """Upsert the staged products by SKU, and set their stock in the default warehouse."""
    values = {
        "warehouse": ensure_default_warehouse(staging.run.tenant).pk,
        "reason": Movement.Reason.IMPORT.value,
        "actor": current_context().actor,
    }
    staging.execute(_PRODUCTS)
    staging.execute("UPDATE import_rows SET outcome = 'unchanged' WHERE outcome IS NULL")
    staging.execute(_NEW_STOCK, values)
    # The planner does not know yet how many rows this transaction has added: no loops over them.
    staging.execute("SET LOCAL enable_nestloop = off")
    staging.execute(_LOCK_STOCK, values)
    staging.execute(_STOCK, values)
    staging.execute("SET LOCAL enable_nestloop = on")


PRODUCTS = Importer(kind="products", row=ProductRow, key=("product_id",), load=load_products)
