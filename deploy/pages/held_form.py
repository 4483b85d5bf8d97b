"""Hold what was typed in a form within another form, as one text. Pure."""

import base64
import binascii
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

from deploy.pages.sent_form import LONG_FORM_FIELDS_MAX

HELD_BYTES_MAX = 128 * 1024
"""A longer form is not held: nobody is signed in who sends it."""
HELD_CHARACTERS_MAX = 2 * HELD_BYTES_MAX
_NOT_TYPED = ("token", "do")


def held_text(fields: Mapping[str, str]) -> str:
    """Give the typed fields as a text that stands in one field; the token and the button are left out."""
    typed = urlencode([(name, value) for name, value in fields.items() if name not in _NOT_TYPED])
    return base64.urlsafe_b64encode(typed.encode()).decode()


def held_fields(text: str) -> dict[str, str]:
    """Give back what `held_text` was given; nothing for any other text."""
    try:
        typed = base64.urlsafe_b64decode(text.encode("ascii")).decode("ascii")
        fields = parse_qsl(typed, keep_blank_values=True, max_num_fields=LONG_FORM_FIELDS_MAX)
    except (ValueError, binascii.Error):
        return {}
    return {name: value for name, value in fields if name not in _NOT_TYPED}
