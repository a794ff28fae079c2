"""The product's settings, for workers that know the tasks of this package besides."""

from erp.settings import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "tests.canvas"]  # noqa: F405
