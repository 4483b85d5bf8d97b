"""Tell a form that our own page sent from one that somebody else's page sent.

Browsers say where a request comes from in headers that no page can set. `Sec-Fetch-Site` also holds behind a proxy that
changes the host; it is missing on plain http to another machine, and there `Origin` is compared with the host.
"""

from urllib.parse import urlsplit

from aiohttp import web


def came_from_us(request: web.Request) -> bool:
    """Tell whether a POST was sent by a page of ours, or by something that is no browser."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = request.headers.get("Origin")
    return origin is None or urlsplit(origin).netloc == request.host


def over_https(request: web.Request) -> bool:
    """Tell whether the browser speaks https to us, or to the proxy in front of us.

    The header can be forged by the browser's owner alone, who would only keep the cookie from being sent.
    """
    return request.secure or request.headers.get("X-Forwarded-Proto", "").strip().lower() == "https"


def address_of_us(request: web.Request) -> str:
    """Give the address under which this request reached us, `http://127.0.0.1:8080`, for examples to copy."""
    return f"{'https' if over_https(request) else 'http'}://{request.host}"


def local_path(text: str | None) -> str:
    """Give a path on this server to go on to; `/` for anything that might lead elsewhere."""
    if not text or not text.startswith("/") or text.startswith(("//", "/\\")) or len(text) > 2_000:
        return "/"
    if not text.isascii() or not text.isprintable() or "\\" in text:
        return "/"
    return text
