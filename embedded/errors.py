"""What the embedded servers raise; each message says what happened and what to do about it."""


class EmbeddedError(Exception):
    """An embedded server cannot be used; the text is written for the person at the keyboard."""


class NotOursError(EmbeddedError):
    """A directory that the embedded servers need belongs to another user."""


class StartError(EmbeddedError):
    """A server was started and did not become ready."""


class BusyError(EmbeddedError):
    """Another command of this checkout holds the servers in a way that does not allow this."""
