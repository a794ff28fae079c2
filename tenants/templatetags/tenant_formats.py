"""Template tags that write amounts and dates in the locale of the context.

The context must have ``locale`` (such as ``de_DE``), and ``zone`` for ``{% moment %}``. The tags'
output is escaped like any other text.
"""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, cast

from django import template

from tenants import formats

register = template.Library()


@register.simple_tag(takes_context=True)
def money(context: Mapping[str, Any], amount: Decimal, currency: str) -> str:
    """``{% money total currency %}``: the amount with its currency's sign."""
    return formats.format_money(amount, currency, context["locale"])


@register.simple_tag(takes_context=True)
def amount(context: Mapping[str, Any], value: Decimal, currency: str) -> str:
    """``{% amount total currency %}``: the amount without a sign, for columns."""
    return formats.format_amount(value, currency, context["locale"])


@register.simple_tag(takes_context=True)
def number(context: Mapping[str, Any], value: Decimal | int) -> str:
    """``{% number quantity %}``: a quantity."""
    return formats.format_number(value, context["locale"])


@register.simple_tag(takes_context=True)
def percent(context: Mapping[str, Any], share: Decimal) -> str:
    """``{% percent discount %}``: a share of one as a percentage."""
    return formats.format_percent(share, context["locale"])


@register.simple_tag(takes_context=True)
def day(context: Mapping[str, Any], value: date, style: str = "long") -> str:
    """``{% day issued_on %}`` or ``{% day issued_on "medium" %}``: a date."""
    return formats.format_day(value, context["locale"], cast("formats.Style", style))


@register.simple_tag(takes_context=True)
def moment(context: Mapping[str, Any], value: datetime) -> str:
    """``{% moment expires_at %}``: an instant, by the clock of the context's zone."""
    return formats.format_moment(value, context["zone"], context["locale"])
