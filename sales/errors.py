"""What can go wrong with orders and invoices. The docstring is the message.

None of them goes away by trying again, so a job ends as a dead letter at once: a person corrects
the order or the customer and replays it.
"""

from jobs.errors import PermanentError


class SalesError(PermanentError):
    """Something is wrong with an order or an invoice."""


class WrongState(SalesError):
    """The order is in a state that does not allow this."""


class EmptyOrder(SalesError):
    """The order has no lines."""


class NoAddress(SalesError):
    """The customer has no e-mail address."""
