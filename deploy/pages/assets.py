"""The one stylesheet, under an address that names its content, so that browsers keep it for ever."""

import hashlib
from pathlib import Path

from aiohttp import web

_FOLDER = Path(__file__).parent
TEMPLATES = _FOLDER / "templates"

_CSS = (_FOLDER / "static" / "pages.css").read_bytes()
STYLESHEET = f"/assets/pages-{hashlib.sha256(_CSS).hexdigest()[:16]}.css"


async def stylesheet(_request: web.Request) -> web.Response:
    """Serve the stylesheet."""
    return web.Response(
        body=_CSS,
        content_type="text/css",
        charset="utf-8",
        headers={"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"},
    )
