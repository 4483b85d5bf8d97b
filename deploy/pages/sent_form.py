"""Read a form that changes something or carries much: only one that a page of ours sent, with the session's token."""

import hmac
from collections.abc import Mapping

from deploy.pages.forms import read_form
from deploy.pages.origin import came_from_us
from deploy.pages.serving import Visit
from metering.http.problem import forbidden
from metering.http.scope import Scope, allows

LONG_FORM_BYTES_MAX = 512 * 1024
LONG_FORM_FIELDS_MAX = 12_000


async def read_own_form(visit: Visit) -> Mapping[str, str]:
    """Give the fields of a form, trimmed.

    Raises:
        ApiError: 403 for a form that is stale or from elsewhere, and as `forms.read_form`.
    """
    fields = await read_form(visit.request, bytes_max=LONG_FORM_BYTES_MAX, fields_max=LONG_FORM_FIELDS_MAX)
    session = visit.session
    assert session is not None
    paired = hmac.compare_digest(fields.get("token", "").encode(), session.csrf_token.encode())
    if not paired or not came_from_us(visit.request):
        raise forbidden("This form had gone stale: open the page again and fill it in once more.")
    return {name: value.strip() for name, value in fields.items()}


def may_write(visit: Visit) -> bool:
    """Tell whether whoever is signed in may change the catalog and begin simulations."""
    assert visit.session is not None
    return allows(visit.session.key.scopes, Scope.WRITE)


def require_write(visit: Visit) -> None:
    """Refuse whoever may only read.

    Raises:
        ApiError: 403.
    """
    if not may_write(visit):
        raise forbidden("This key may not change anything: sign in with one that has the scope write or admin.")
