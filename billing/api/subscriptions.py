"""`/v2/subscriptions` and `/v1/subscriptions`: who has what, since when and at which prices."""

from typing import Any

import sqlalchemy as sa
from aiohttp import web

from billing.api.services import Services
from billing.api.shapes import NEW_SUBSCRIPTION_BODY, SUBSCRIPTION
from billing.catalog.model import Product
from billing.catalog.registry import find_products
from billing.subscriptions.agreement import agree
from billing.subscriptions.model import Subscription, SubscriptionProduct, SubscriptionStatus
from billing.subscriptions.reading import SubscriptionAsked, read_subscription
from billing.subscriptions.registry import (
    cancel_subscription,
    create_subscription,
    find_subscription,
    list_subscriptions,
)
from billing.tables import subscriptions
from metering.http.app import json_response
from metering.http.filtering import FilterField, Kind, filter_parameters, filters_of
from metering.http.paging import PARAMETERS, Page, page_of, paged
from metering.http.problem import ApiError, Fault, not_found
from metering.http.reading import read_object
from metering.http.route import Call, Parameter, Route
from metering.http.scope import Scope
from metering.http.shapes import page_of as page_shape
from metering.registry.aggregators import find_aggregator
from metering.registry.customers import resolve
from metering.timestamps import format_instant
from metering.world import World

TAG = "Subscriptions"

FILTERS = (
    FilterField("id", subscriptions.c.id, nullable=False),
    FilterField("name", subscriptions.c.name),
    FilterField("currency", subscriptions.c.currency, nullable=False),
    FilterField("starts_at", subscriptions.c.starts_at, Kind.INSTANT, nullable=False),
    FilterField("cancelled_at", subscriptions.c.cancelled_at, Kind.INSTANT),
    FilterField("created_at", subscriptions.c.created_at, Kind.INSTANT, nullable=False),
    FilterField("updated_at", subscriptions.c.updated_at, Kind.INSTANT, nullable=False),
)
