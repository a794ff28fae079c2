"""Has servers running for this command: those configured, or embedded ones."""

import os
import sys

import embedded
from erp.environment import load_environment


def ensure_servers() -> None:
    """Start the embedded servers that are needed, and name them in this process's environment.

    Exits with status 1 and the reason when one cannot be started.
    """
    environment, _ = load_environment()
    try:
        embedded.ensure(environment.data_dir)
    except embedded.EmbeddedError as error:
        sys.exit(f"{error}")
    os.environ.setdefault("DATA_DIR", str(environment.data_dir))
    (environment.data_dir / "static").mkdir(parents=True, exist_ok=True)  # WhiteNoise misses it
