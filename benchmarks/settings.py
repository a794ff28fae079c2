"""The product's settings, with the tasks of the benchmark, and without limits."""

from erp.settings import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "benchmarks"]  # noqa: F405
