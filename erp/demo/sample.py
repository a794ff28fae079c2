"""A believable sample of two companies: CSV files as an ERP would be handed, and members.

Everything follows from a seed, so that what has to come of it is known beforehand.
"""

import csv
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from tenants.models import Role

#: Every e-mail of this person's confirmation is refused for good, and this one's invoice for now.
CLOSED_MAILBOX = "m.okonkwo@closed.example"
FULL_MAILBOX = "ioanna.full@full.example"


@dataclass(frozen=True, kw_only=True)
class Person:
    """A member."""

    username: str
    name: str
    role: Role


@dataclass(frozen=True, kw_only=True)
class Company:
    """A tenant, and how much of everything it has."""

    slug: str
    name: str
    timezone: str
    currency: str
    locale: str
    address: str
    people: tuple[Person, ...]
    products: int = 160
    customers: int = 60
    orders: int = 70
    clients: int = 40


COMPANIES = (
    Company(
        slug="aegean-foods",
        name="Αιγαίο Τρόφιμα Α.Ε.",
        timezone="Europe/Athens",
        currency="EUR",
        locale="el_GR",
        address="Λεωφόρος Ποσειδώνος 41\n175 61 Παλαιό Φάληρο\nΕλλάδα",
        people=(
            Person(username="eleni", name="Ελένη Παπαδοπούλου", role=Role.OWNER),
            Person(username="nikos", name="Νίκος Γεωργίου", role=Role.MANAGER),
            Person(username="sofia", name="Σοφία Αλεξίου", role=Role.WAREHOUSE),
            Person(username="takis", name="Τάκης Ιωάννου", role=Role.VIEWER),
        ),
    ),
    Company(
        slug="laurentide",
        name="Érablière Laurentide inc.",
        timezone="America/St_Johns",
        currency="CAD",
        locale="en_CA",
        address="12 Signal Hill Road\nSt. John’s NL  A1A 1B3\nCanada",
        people=(
            Person(username="chloe", name="Chloé Bélanger", role=Role.OWNER),
            Person(username="sean", name="Seán Ó Briain", role=Role.WAREHOUSE),
            Person(username="mei", name="林美玲", role=Role.ACCOUNTANT),
        ),
    ),
)

_GOODS = {
    "Beverages": ["Ouzo Μυτιλήνης", "Sirop d’érable", "宇治抹茶", "Café São João", "Cidre brut"],
    "Cheese": [
        "Φέτα ΠΟΠ",
        "Crottin de chèvre",
        "Queso añejo",
        "Γραβιέρα Νάξου",
        "Brânză de burduf",
    ],
    "Sweets": ["Λουκούμι Σύρου", "Tarte au sucre", "どら焼き", "Őszibarackdzsem", "حلاوة طحينية"],
    "Pantry": ["Θυμαρίσιο μέλι", "Ελαιόλαδο Καλαμάτας", "Żurek", "Moutarde à l’ancienne", "醤油"],
    "Fish": ["Σαρδέλες καπνιστές", "Gravad lax", "Morue salée", "Åleröra", "海苔"],
}
_PACKS = ["12 × 250 g", "6 × 1 l", "24 jars", "500 g box", "1 kg bag"]
_FIRST = ["María", "Jürgen", "Zoë", "Ιωάννα", "Søren", "Łukasz", "美咲", "Ayşe", "Nguyễn", "Fatima"]
_LAST = ["Nuñez", "Größler", "Οικονόμου", "Jørgensen", "Wójcik", "佐藤", "Yılmaz", "D’Angelo"]
_FIRMS = [
    "Épicerie",
    "Feinkost",
    "Παντοπωλείο",
    "Deli",
    "Mercado",
    "食料品店",
    "Κάβα",
    "Charcuterie",
]
_CITIES = [
    ("Αθήνα", "105 57", "Ελλάδα"),
    ("Montréal", "H2Y 1C6", "Canada"),
    ("München", "80331", "Germany"),
    ("Kraków", "31-042", "Poland"),
    ("大阪市", "530-0001", "日本"),
    ("São Paulo", "01310-100", "Brazil"),
]
_CARRIERS = ["Πτήσις Express", "Postes du Nord", "Blue Ship"]


@dataclass(kw_only=True)
class Sample:
    """The files of one company, and what has to come of them."""

    company: Company
    files: dict[str, Path] = field(default_factory=dict)
    #: Alerts that the stock check has to open, by severity.
    alerts: Counter[str] = field(default_factory=Counter)
    lines: int = 0


def write_sample(
    company: Company, folder: Path, *, today: date, seed: int, plant_failures: bool
) -> Sample:
    """Write the company's four CSV files into ``folder``; returns what has to come of them.

    With ``plant_failures``, the first order's customer has a closed mailbox, the second's a full
    one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chance = random.Random(f"{seed} {company.slug}")  # noqa: S311 - a sample, not a secret
    sample = Sample(company=company)
    products = [_product(chance, number) for number in range(1, company.products + 1)]
    for product in products:
        severity = _severity(product)
        if severity:
            sample.alerts[severity] += 1
    customers = [_customer(chance, company, number) for number in range(1, company.customers + 1)]
    if plant_failures:
        customers[0]["email"], customers[1]["email"] = CLOSED_MAILBOX, FULL_MAILBOX
    orders, lines = [], []
    for number in range(1, company.orders + 1):
        # The two whose mailboxes may refuse have one order each.
        customer = customers[number - 1] if number <= 2 else chance.choice(customers[2:])
        order = _order(chance, company, number, customer, today)
        orders.append(order)
        lines += _lines(chance, order, products)
    sample.lines = len(lines)
    for kind, rows in (
        ("products", products), ("customers", customers),
        ("orders", orders), ("order_lines", lines),
    ):  # fmt: skip
        path = folder / f"{kind}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
        sample.files[kind] = path
    return sample


def _product(chance: random.Random, number: int) -> dict[str, Any]:
    category = chance.choice(list(_GOODS))
    threshold = chance.choice([0, 10, 15, 20, 25])
    low = chance.random() < 0.1  # one in ten is low
    stock = chance.randrange(0, max(threshold, 1)) if low else threshold + chance.randrange(5, 120)
    return {
        "product_id": f"P{number:04}",
        "product_name": f"{chance.choice(_GOODS[category])} Nº{number}",
        "category_name": category,
        "supplier": chance.choice(_FIRMS),
        "quantity_per_unit": chance.choice(_PACKS),
        "unit_price": Decimal(chance.randrange(150, 9000)) / 100,
        "units_in_stock": stock,
        "units_on_order": chance.choice([0, 0, 0, 30]),
        "reorder_level": threshold,
        "discontinued": int(chance.random() < 0.05),  # one in twenty
    }


def _severity(product: dict[str, Any]) -> str:
    """Say which alert the product has to get, by the catalogue's rule; empty: none."""
    stock, threshold = product["units_in_stock"], product["reorder_level"]
    if product["discontinued"] or threshold <= 0 or stock > threshold:
        return ""
    below = (threshold - stock) / threshold
    for limit, name in ((0.5, "critical"), (0.25, "high"), (0.1, "medium")):
        if below >= limit:
            return name
    return "low"


def _customer(chance: random.Random, company: Company, number: int) -> dict[str, Any]:
    first, last = chance.choice(_FIRST), chance.choice(_LAST)
    city, postal_code, country = chance.choice(_CITIES)
    return {
        "customer_id": f"C{number:04}",
        "company_name": f"{chance.choice(_FIRMS)} {last} & {chance.choice(_LAST)}",
        "contact_name": f"{first} {last}",
        "contact_title": chance.choice(["Owner", "Buyer", "Αγοραστής", "Acheteuse"]),
        "address": f"{chance.randrange(1, 200)} {chance.choice(_LAST)} St",
        "city": city,
        "region": "",
        "postal_code": postal_code,
        "country": country,
        "phone": f"+{chance.randrange(1, 99)} {chance.randrange(10**8, 10**9)}",
        "email": f"customer{number}@{company.slug}.example",
    }


def _order(
    chance: random.Random, company: Company, number: int, customer: dict[str, Any], today: date
) -> dict[str, Any]:
    ordered = today - timedelta(days=chance.randrange(0, 20))
    return {
        "order_id": f"{company.slug[:2].upper()}-{number:05}",
        "customer_id": customer["customer_id"],
        "order_date": ordered,
        "required_date": ordered + timedelta(days=28),
        "shipped_date": "",
        "carrier": chance.choice(_CARRIERS),
        "freight": Decimal(chance.randrange(0, 6000)) / 100,
        "ship_name": customer["company_name"],
        "ship_address": customer["address"],
        "ship_city": customer["city"],
        "ship_region": "",
        "ship_postal_code": customer["postal_code"],
        "ship_country": customer["country"],
    }


def _lines(
    chance: random.Random, order: dict[str, Any], products: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    return [
        {
            "order_id": order["order_id"],
            "product_id": product["product_id"],
            "unit_price": product["unit_price"],
            "quantity": chance.randrange(1, 40),
            "discount": chance.choice(["0.00", "0.00", "0.05", "0.15"]),
        }
        for product in chance.sample(products, chance.randrange(1, 7))
    ]
