#!/usr/bin/env python
"""Runs the project's commands, on embedded servers unless others are configured."""

import os
import sys

#: Commands that talk to no server: they stay quick and work before anything is installed.
WITHOUT_SERVERS = {
    "help",
    "version",
    "--version",
    "--help",
    "-h",
    "makemessages",
    "compilemessages",
    "collectstatic",
    "startapp",
    "diffsettings",
}


def main() -> None:
    """Start what is needed, then hand over to Django."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "erp.settings")
    command = sys.argv[1] if len(sys.argv) > 1 else "help"
    if command not in WITHOUT_SERVERS and "--help" not in sys.argv:
        from erp.servers import ensure_servers

        ensure_servers()
    from django.core.management import execute_from_command_line
    from django.db import OperationalError

    try:
        execute_from_command_line(sys.argv)
    except OperationalError as error:
        sys.exit(
            f"The database does not answer: {str(error).strip()}\n"
            "Check DATABASE_URL, or unset it to use the embedded server."
        )
    except KeyboardInterrupt:
        sys.exit("Interrupted.")


if __name__ == "__main__":
    main()
