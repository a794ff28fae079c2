"""How the admin looks: ``settings.UNFOLD``. It is read with the settings, so it imports no app."""

from typing import Any

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "ERP",
    "SITE_HEADER": "ERP",
    "SITE_SUBHEADER": "Background jobs and records",
    "SITE_SYMBOL": "conveyor_belt",
    "SITE_URL": "/admin/",
    "SHOW_VIEW_ON_SITE": False,
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": "erp.navigation.favicon"},
    ],
    "DASHBOARD_CALLBACK": "erp.navigation.front_page",
    "STYLES": ["erp.navigation.stylesheet"],
    "BORDER_RADIUS": "6px",
    "COLORS": {
        "primary": {
            "50": "oklch(97% .015 240)",
            "100": "oklch(94% .03 240)",
            "200": "oklch(89% .06 240)",
            "300": "oklch(82% .1 240)",
            "400": "oklch(74% .14 242)",
            "500": "oklch(65% .17 245)",
            "600": "oklch(55% .18 250)",
            "700": "oklch(48% .17 253)",
            "800": "oklch(41% .14 255)",
            "900": "oklch(34% .11 256)",
            "950": "oklch(26% .08 257)",
        },
    },
    "SIDEBAR": {"show_search": True, "navigation": "erp.navigation.navigation"},
}
