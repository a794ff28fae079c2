"""How amounts, numbers and dates are written, in a company's locale.

Shared by e-mails and documents. Everything is rounded half-up before it is written, since Babel
rounds half-even and the books do not.
"""

from datetime import date, datetime, tzinfo
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

from babel import dates, numbers

Style = Literal["short", "medium", "long", "full"]
#: Used where there is no company whose locale would count.
DEFAULT_LOCALE = "en_GB"


def round_money(amount: Decimal, currency: str) -> Decimal:
    """Return ``amount`` rounded half-up to the smallest unit of ``currency`` (cents; whole yen)."""
    unit = Decimal(1).scaleb(-numbers.get_currency_precision(currency))
    return amount.quantize(unit, rounding=ROUND_HALF_UP)


def format_money(amount: Decimal, currency: str, locale: str = DEFAULT_LOCALE) -> str:
    """Return the amount with its currency's sign: ``€1,234.50``, ``1.234,50 €``, ``￥1,235``."""
    return numbers.format_currency(round_money(amount, currency), currency, locale=locale)


def format_amount(amount: Decimal, currency: str, locale: str = DEFAULT_LOCALE) -> str:
    """Return the amount without a sign, for columns whose heading names the currency."""
    pattern = "#,##0.00;-#,##0.00"
    return numbers.format_currency(
        round_money(amount, currency), currency, format=pattern, locale=locale
    )


def format_number(value: Decimal | int, locale: str = DEFAULT_LOCALE) -> str:
    """Return a quantity: grouped, with up to three decimals, without trailing zeros."""
    rounded = Decimal(value).quantize(Decimal("0.001"), rounding=ROUND_HALF_UP)
    return numbers.format_decimal(rounded, format="#,##0.###", locale=locale)


def format_percent(share: Decimal, locale: str = DEFAULT_LOCALE) -> str:
    """Return a share of one as a percentage with up to two decimals: ``0.15`` is ``15%``."""
    rounded = share.quantize(Decimal("0.0001"), rounding=ROUND_HALF_UP).normalize()
    return numbers.format_percent(rounded, locale=locale, decimal_quantization=False)


def format_day(day: date, locale: str = DEFAULT_LOCALE, style: Style = "long") -> str:
    """Return a date, such as ``4 July 2026`` (long) or ``4 Jul 2026`` (medium)."""
    return dates.format_date(day, format=style, locale=locale)


def format_moment(moment: datetime, zone: tzinfo, locale: str = DEFAULT_LOCALE) -> str:
    """Return an aware instant as the clock of ``zone`` shows it: ``4 July 2026, 14:05 CEST``."""
    local = moment.astimezone(zone)
    clock = dates.format_time(local, format="short", tzinfo=zone, locale=locale)
    return f"{format_day(local.date(), locale)}, {clock} {local.tzname()}"
