"""The product's settings, on servers of this test run's own.

Importing it starts PostgreSQL, Valkey and the mail sink in a private directory, before Django reads
its settings; they end with the run. Servers configured in the environment are never touched.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import embedded

if "ERP_TESTS_DATA_DIR" not in os.environ:
    _data = tempfile.mkdtemp(prefix="erp-tests-")
    os.environ["ERP_TESTS_DATA_DIR"] = _data
    atexit.register(shutil.rmtree, _data, ignore_errors=True)
    for _variable in ("DATABASE_URL", "REDIS_URL", "SMTP_URL"):
        os.environ.pop(_variable, None)
    os.environ["DATA_DIR"] = _data
    embedded.ensure(Path(_data), fsync=False, announce=lambda _: None)

from erp.settings import *  # noqa: F403

INSTALLED_APPS += ["tests.plugin"]  # noqa: F405 - an app of somebody else, with tasks of its own
STATIC_ROOT.mkdir(parents=True, exist_ok=True)  # noqa: F405 - WhiteNoise misses it otherwise
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
