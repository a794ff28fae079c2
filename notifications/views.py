"""Unsubscribing without a login: the link in an e-mail is signed, and is all it takes."""

from django.contrib.auth import get_user_model
from django.core import signing
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from notifications.kinds import Channel, Choice, Kind
from notifications.messages import UNSUBSCRIBE_SALT
from notifications.services import set_preference


@csrf_exempt  # mail providers POST here themselves (RFC 8058); the signature is the permission
@require_http_methods(["GET", "POST"])
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """Ask (GET), and turn the e-mails of one kind off (POST).

    A GET changes nothing, since mail scanners follow every link.
    """
    try:
        content = signing.loads(token, salt=UNSUBSCRIBE_SALT)
        kind = Kind(content["kind"])
        user = get_user_model().objects.get(pk=content["user"])
    except (signing.BadSignature, ValueError, KeyError, get_user_model().DoesNotExist):
        raise Http404("This link is not valid.") from None
    if request.method == "POST":
        set_preference(user_id=user.pk, kind=kind, channel=Channel.EMAIL, choice=Choice.OFF)
    return render(
        request,
        "notifications/unsubscribe.html",
        {"kind": kind.label.lower(), "done": request.method == "POST"},
    )
