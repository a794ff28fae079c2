"""The subcommands of ``manage.py jobs``: each module adds its own, and does what they say."""
