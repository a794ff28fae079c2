"""What can go wrong with one system, while the others go on."""


class Unavailable(Exception):
    """The system cannot be had here; the text says why."""


class Failed(Exception):
    """A measurement did not work out: it ended with an error, or not in time."""
