"""No pages: Django's checks of a starting worker look for them."""

urlpatterns: list[object] = []
