"""Makes every table anew, and says which pages changed."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "erp.settings")
django.setup()

from scripts.reference.pages import ROOT, pages, rewritten  # noqa: E402 - Django comes first

for page in pages():
    text = page.read_text()
    if (fresh := rewritten(text)) != text:
        page.write_text(fresh)
        print(f"rewrote {page.relative_to(ROOT)}")
