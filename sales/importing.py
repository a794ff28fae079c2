"""Importing customers, orders and order lines.

An imported order is a draft: it is confirmed here, by a person or a job, and its state is never
changed by a file. An order that has been invoiced is closed: a row that would change it, or its
lines, is refused; one that says what is known already is simply unchanged.
"""

from decimal import Decimal
from typing import Annotated, ClassVar

from pydantic import Field

from imports.registry import Importer, Reference
from imports.rows import Day, ImportRow, Number, Whole
from imports.staging import Staging
from inventory.models import Product
from notifications.addresses import Address
from sales.models import Customer, Order

Code = Annotated[str, Field(max_length=64)]
Name = Annotated[str, Field(max_length=200)]
Short = Annotated[str, Field(max_length=100)]
PostalCode = Annotated[str, Field(max_length=20)]
Money = Annotated[Number, Field(ge=0, max_digits=12, decimal_places=2)]


class CustomerRow(ImportRow):
    """A row of ``customers.csv``. Without the column ``email``, addresses stay as they are."""

    optional_columns: ClassVar = frozenset({"email"})

    customer_id: Code
    company_name: Name
    contact_name: Name = ""
    contact_title: Short = ""
    address: Name = ""
    city: Short = ""
    region: Short = ""
    postal_code: PostalCode = ""
    country: Short = ""
    phone: Annotated[str, Field(max_length=50)] = ""
    email: Annotated[Address, Field(max_length=254)] | None = None


class OrderRow(ImportRow):
    """A row of ``orders.csv``. The freight is in the tenant's currency."""

    order_id: Code
    customer_id: Code
    order_date: Day
    required_date: Day | None = None
    shipped_date: Day | None = None
    carrier: Short = ""
    freight: Money = Decimal(0)
    ship_name: Name = ""
    ship_address: Name = ""
    ship_city: Short = ""
    ship_region: Short = ""
    ship_postal_code: PostalCode = ""
    ship_country: Short = ""


class OrderLineRow(ImportRow):
    """A row of ``order_details.csv``. The price is in the tenant's currency."""

    order_id: Code
    product_id: Code
    unit_price: Money
    quantity: Annotated[Whole, Field(gt=0, le=2_147_483_647)]
    discount: Annotated[Number, Field(ge=0, le=1, decimal_places=4)] = Decimal(0)


_CUSTOMERS = """
    WITH upserted AS (
        INSERT INTO sales_customer AS customer
            (tenant_id, code, company_name, contact_name, contact_title, address, city, region,
             postal_code, country, phone, email)
        SELECT %(tenant)s, customer_id, company_name, contact_name, contact_title, address, city,
               region, postal_code, country, phone, coalesce(email, '')
        FROM import_rows ORDER BY customer_id
        ON CONFLICT (tenant_id, code) DO UPDATE
        SET company_name = excluded.company_name, contact_name = excluded.contact_name,
            contact_title = excluded.contact_title, address = excluded.address,
            city = excluded.city, region = excluded.region, postal_code = excluded.postal_code,
            country = excluded.country, phone = excluded.phone,
            email = CASE WHEN %(has_email)s THEN excluded.email ELSE customer.email END
        WHERE (customer.company_name, customer.contact_name, customer.contact_title,
               customer.address, customer.city, customer.region, customer.postal_code,
               customer.country, customer.phone)
              IS DISTINCT FROM
              (excluded.company_name, excluded.contact_name, excluded.contact_title,
               excluded.address, excluded.city, excluded.region, excluded.postal_code,
               excluded.country, excluded.phone)
           OR (%(has_email)s AND customer.email <> excluded.email)
        RETURNING customer.code, old.id IS NULL AS is_new
    )
    UPDATE import_rows
    SET outcome = CASE WHEN upserted.is_new THEN 'created' ELSE 'updated' END
    FROM upserted WHERE upserted.code = import_rows.customer_id
"""

# An invoice is issued under a lock of its order (sales.services); with the same lock here, an
# order cannot be invoiced between this check and the load.
_LOCK_ORDERS = """
    SELECT count(*) FROM (
        SELECT FROM sales_order
        WHERE tenant_id = %(tenant)s AND number IN (SELECT order_id FROM import_rows)
        ORDER BY id FOR UPDATE
    ) locked
"""

_INVOICED_ORDERS = """
    SELECT line, 'order_id' AS field, 'is invoiced and cannot change any more' AS reason
    FROM import_rows
    JOIN sales_order placed ON placed.tenant_id = %(tenant)s AND placed.number = order_id
    JOIN sales_invoice invoice ON invoice.order_id = placed.id
    JOIN sales_customer customer ON customer.id = placed.customer_id
    WHERE (customer.code, placed.order_date, placed.required_date, placed.shipped_date,
           placed.carrier, placed.freight, placed.ship_name, placed.ship_address,
           placed.ship_city, placed.ship_region, placed.ship_postal_code, placed.ship_country)
          IS DISTINCT FROM
          (import_rows.customer_id, import_rows.order_date, import_rows.required_date,
           import_rows.shipped_date, import_rows.carrier, import_rows.freight,
           import_rows.ship_name, import_rows.ship_address, import_rows.ship_city,
           import_rows.ship_region, import_rows.ship_postal_code, import_rows.ship_country)
"""

_ORDERS = """
    WITH upserted AS (
        INSERT INTO sales_order AS placed
            (tenant_id, number, customer_id, state, order_date, required_date, shipped_date,
             carrier, freight, ship_name, ship_address, ship_city, ship_region, ship_postal_code,
             ship_country)
        SELECT %(tenant)s, order_id, customer.id, 'draft', order_date, required_date,
               shipped_date, carrier, freight, ship_name, ship_address, ship_city, ship_region,
               ship_postal_code, ship_country
        FROM import_rows
        JOIN sales_customer customer
          ON customer.tenant_id = %(tenant)s AND customer.code = import_rows.customer_id
        ORDER BY order_id
        ON CONFLICT (tenant_id, number) DO UPDATE
        SET customer_id = excluded.customer_id, order_date = excluded.order_date,
            required_date = excluded.required_date, shipped_date = excluded.shipped_date,
            carrier = excluded.carrier, freight = excluded.freight,
            ship_name = excluded.ship_name, ship_address = excluded.ship_address,
            ship_city = excluded.ship_city, ship_region = excluded.ship_region,
            ship_postal_code = excluded.ship_postal_code, ship_country = excluded.ship_country
        WHERE (placed.customer_id, placed.order_date, placed.required_date, placed.shipped_date,
               placed.carrier, placed.freight, placed.ship_name, placed.ship_address,
               placed.ship_city, placed.ship_region, placed.ship_postal_code, placed.ship_country)
              IS DISTINCT FROM
              (excluded.customer_id, excluded.order_date, excluded.required_date,
               excluded.shipped_date, excluded.carrier, excluded.freight, excluded.ship_name,
               excluded.ship_address, excluded.ship_city, excluded.ship_region,
               excluded.ship_postal_code, excluded.ship_country)
        RETURNING placed.number, old.id IS NULL AS is_new
    )
    UPDATE import_rows
    SET outcome = CASE WHEN upserted.is_new THEN 'created' ELSE 'updated' END
    FROM upserted WHERE upserted.number = import_rows.order_id
"""

_INVOICED_LINES = """
    SELECT line, 'order_id' AS field,
           'names an order that is invoiced and cannot change any more' AS reason
    FROM import_rows
    JOIN sales_order placed ON placed.tenant_id = %(tenant)s AND placed.number = order_id
    JOIN sales_invoice invoice ON invoice.order_id = placed.id
    JOIN inventory_product product
      ON product.tenant_id = %(tenant)s AND product.sku = product_id
    LEFT JOIN sales_orderline known
      ON known.order_id = placed.id AND known.product_id = product.id
    WHERE (known.unit_price, known.quantity, known.discount) IS DISTINCT FROM
          (import_rows.unit_price, import_rows.quantity, import_rows.discount)
"""

_LINES = """
    WITH staged AS (
        SELECT import_rows.line, placed.id AS order_id, product.id AS product_id,
               import_rows.unit_price, import_rows.quantity, import_rows.discount
        FROM import_rows
        JOIN sales_order placed
          ON placed.tenant_id = %(tenant)s AND placed.number = import_rows.order_id
        JOIN inventory_product product
          ON product.tenant_id = %(tenant)s AND product.sku = import_rows.product_id
    ), upserted AS (
        INSERT INTO sales_orderline AS known
            (order_id, product_id, unit_price, quantity, discount)
        SELECT order_id, product_id, unit_price, quantity, discount
        FROM staged ORDER BY line
        ON CONFLICT (order_id, product_id) DO UPDATE
        SET unit_price = excluded.unit_price, quantity = excluded.quantity,
            discount = excluded.discount
        WHERE (known.unit_price, known.quantity, known.discount)
              IS DISTINCT FROM (excluded.unit_price, excluded.quantity, excluded.discount)
        RETURNING known.order_id, known.product_id, old.id IS NULL AS is_new
    )
    UPDATE import_rows
    SET outcome = CASE WHEN upserted.is_new THEN 'created' ELSE 'updated' END
    FROM upserted JOIN staged USING (order_id, product_id)
    WHERE staged.line = import_rows.line
"""

_UNCHANGED = "UPDATE import_rows SET outcome = 'unchanged' WHERE outcome IS NULL"


def load_customers(staging: Staging) -> None:
    """Upsert the staged customers by code."""
    staging.execute(_CUSTOMERS, {"has_email": "email" in staging.columns})
    staging.execute(_UNCHANGED)


def refuse_invoiced_orders(staging: Staging) -> None:
    """Refuse the rows that would change an order which is invoiced."""
    staging.execute(_LOCK_ORDERS)
    staging.reject(_INVOICED_ORDERS)


def load_orders(staging: Staging) -> None:
    """Upsert the staged orders by number; new ones are drafts."""
    staging.execute(_ORDERS)
    staging.execute(_UNCHANGED)


def refuse_invoiced_lines(staging: Staging) -> None:
    """Refuse the rows that would change the lines of an order which is invoiced."""
    staging.execute(_LOCK_ORDERS)
    staging.reject(_INVOICED_LINES)


def load_order_lines(staging: Staging) -> None:
    """Upsert the staged lines by order and product."""
    staging.execute(_LINES)
    staging.execute(_UNCHANGED)


CUSTOMERS = Importer(kind="customers", row=CustomerRow, key=("customer_id",), load=load_customers)
ORDERS = Importer(
    kind="orders",
    row=OrderRow,
    key=("order_id",),
    references=(Reference(column="customer_id", model=Customer, key="code"),),
    refuse=refuse_invoiced_orders,
    load=load_orders,
)
ORDER_LINES = Importer(
    kind="order_lines",
    row=OrderLineRow,
    key=("order_id", "product_id"),
    references=(
        Reference(column="order_id", model=Order, key="number"),
        Reference(column="product_id", model=Product, key="sku"),
    ),
    refuse=refuse_invoiced_lines,
    load=load_order_lines,
)
