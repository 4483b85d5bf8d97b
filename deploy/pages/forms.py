"""Read the small forms of these pages."""

from urllib.parse import parse_qsl

from aiohttp import web

from metering.http.problem import invalid, too_large, unsupported

FORM_BYTES_MAX = 16 * 1024
FIELDS_MAX = 20


async def read_form(
    request: web.Request, *, bytes_max: int = FORM_BYTES_MAX, fields_max: int = FIELDS_MAX
) -> dict[str, str]:
    """Give the fields of a URL-encoded form; of fields of one name the last.

    Raises:
        ApiError: 415 for another content type, 413 over `bytes_max`, 400 for what is no form.
    """
    if request.content_type != "application/x-www-form-urlencoded":
        raise unsupported("a form is sent as application/x-www-form-urlencoded")
    if request.content_length is None or request.content_length > bytes_max:
        raise too_large(f"a form has at most {bytes_max} bytes, and says how many")
    body = await request.content.readexactly(request.content_length)
    try:
        fields = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=fields_max, errors="strict")
    except ValueError:
        raise invalid("the form cannot be read: reload the page and send it again") from None
    return dict(fields)
