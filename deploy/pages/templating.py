"""The templates: escaped by default, strict about names, and given few functions."""

from collections.abc import Callable
from typing import Any

import aiohttp_jinja2
import jinja2
from aiohttp import web

from deploy.pages.assets import TEMPLATES
from deploy.pages.clock_text import age_text, clock_second, clock_time, list_time, machine_time, moment_text
from deploy.pages.offered import named_options, options
from deploy.pages.quantities import quantity
from deploy.pages.visible import short, visible

TEMPLATES_KEY = web.AppKey("pages_templates", jinja2.Environment)

_FILTERS: dict[str, Callable[..., Any]] = {
    "visible": visible,
    "short": short,
    "quantity": quantity,
    "clock_time": clock_time,
    "clock_second": clock_second,
    "list_time": list_time,
    "machine_time": machine_time,
    "age": age_text,
    "moment": moment_text,
    "options": options,
    "named": named_options,
}


def add_templates(app: web.Application) -> None:
    """Give an application the templates of these pages."""
    aiohttp_jinja2.setup(
        app,
        app_key=TEMPLATES_KEY,
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        filters=_FILTERS,
    )
