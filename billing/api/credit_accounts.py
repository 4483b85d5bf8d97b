"""`/v1/customers/{id}/credits`: what customers have of credits, what came in, and what usage drew."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import sqlalchemy as sa
from aiohttp import web

from billing.api.refusals import answered
from billing.api.services import Services
from billing.catalog.configurations import find_configuration
from billing.catalog.credits import credit_aggregators
from billing.catalog.model import ProductStatus, ProductType
from billing.catalog.registry import find_product
from billing.catalog.rows import prices_of
from billing.credits.accounts import (
    CreditAccount,
    Price,
    count_transactions,
    find_account,
    insert_purchase,
    insert_retained,
    insert_topup,
    list_accounts,
    open_account,
    retained_for,
)
from billing.credits.balances import Held, count_movements, read_held
from billing.credits.ledger import Incoming, Movement, MovementKind, Retained, balance_of
from billing.invoices.begun import outline_of
from billing.invoices.model import invoice_id
from billing.money import AMOUNT_MAX
from billing.pricing import UnitPrices, rate
from billing.subscriptions.agreement import check_packs, pack_of
from billing.subscriptions.model import Subscription, SubscriptionProduct, SubscriptionStatus
from billing.subscriptions.reading import read_quantity
from billing.subscriptions.registry import list_subscriptions
from billing.tables import credit_accounts, subscriptions
from metering.aggregation import ADDS_UP
from metering.api.asof import PARAMETER, AsOf, as_of_with_definitions
from metering.api.customers import require_customer
from metering.http.app import json_response
from metering.http.fields import Fields
from metering.http.paging import PARAMETERS, Page, page_of, paged
from metering.http.problem import ApiError, Fault, conflict, not_found, refused
from metering.http.reading import read_object
from metering.http.route import Call, Route
from metering.http.scope import Scope
from metering.http.shapes import (
    INSTANT,
    INTEGER,
    NAME,
    NUMBER,
    OPTIONAL_INSTANT,
    OPTIONAL_NAME,
    OPTIONAL_NUMBER,
    OPTIONAL_TEXT,
    TEXT,
    bounded,
    described,
    nullable,
    object_of,
    one_of,
    request_of,
)
from metering.http.shapes import page_of as page_shape
from metering.ranges import RangeError, parse_instant
from metering.registry.aggregators import find_aggregator
from metering.timestamps import EPOCH, format_instant, microseconds
from metering.world import World
from metering.zones import zone_named

TAG = "Credits"
SUBSCRIPTIONS_MAX = 1_000
TRANSACTIONS_MAX = 10_000
"""So much is topped up and retained of one account: each is a step of its balance."""
_ISO_MAX = 64
CREDIT = object_of(
    {
        "product_id": TEXT,
        "customer_id": TEXT,
        "name": TEXT,
        "current_balance": described(NUMBER, "What came in, less what was drawn and what expired; below 0 it is owed."),
        "low_count_threshold": described(nullable(NUMBER), "Its own, else the product's low_credits_threshold."),
        "last_refreshed_at": INSTANT,
        "opened_at": described(INSTANT, "From when on usage draws on it."),
        "created_at": INSTANT,
        "updated_at": INSTANT,
    },
    title="Credit",
)
TRANSACTION = object_of(
    {
        "id": TEXT,
        "type": one_of([kind.value for kind in MovementKind]),
        "credit_count": described(NUMBER, "Below 0 what went."),
        "balance": described(OPTIONAL_NUMBER, "After it; null where it was not worked out."),
        "occurred_at": INSTANT,
        "until": described(OPTIONAL_INSTANT, "Of usage that was counted: up to when."),
        "expires_at": OPTIONAL_INSTANT,
        "event_id": OPTIONAL_TEXT,
    },
    title="CreditTransaction",
)
_NEW = request_of(
    {
        "product_id": NAME,
        "name": OPTIONAL_NAME,
        "balance": described(NUMBER, "Credits that it begins with."),
        "low_count_threshold": nullable(NUMBER),
    },
    title="NewCredit",
    required=("product_id",),
)
_TOPUP = request_of(
    {"credit_count": NUMBER, "expires_at": described(NAME, "From then on they are no more.")},
    title="NewCreditTopup",
    required=("credit_count",),
)
_PURCHASE = request_of(
    {
        "credit_count": NUMBER,
        "amount_excluding_tax": described(
            bounded(INTEGER, 0, AMOUNT_MAX), "Minor units of the subscription's currency."
        ),
        "price_id": described(NAME, "In its place: a price configuration of the product, for whole packs."),
        "expires_at": described(NAME, "From then on they are no more."),
    },
    title="NewCreditPurchase",
    required=("credit_count",),
)
_BOUGHT = object_of({"invoice_id": TEXT, "current_balance": NUMBER}, title="CreditPurchase")
_USAGE = request_of(
    {"usage_retained": NUMBER, "event_id": described(OPTIONAL_NAME, "Retained once for each of these.")},
    title="NewCreditUsage",
    required=("usage_retained",),
)


def credit_account_routes(services: Services) -> list[Route]:
    """Give the routes of credit accounts."""
    api = _Accounts(services)
    every, read, write = "/v1/customers/{id}/credits", Scope.READ, Scope.WRITE
    one = f"{every}/{{product_id}}"
    opening = "Give a customer credits of a product; usage draws on them from now on"
    listing, moves = "List the credits of a customer", "Every movement of a balance, the newest first"
    paging, at = PARAMETERS, (PARAMETER,)
    shape = page_shape(TRANSACTION)
    buying = "Buy credits: a line of the open invoice of the customer's subscription to the product"
    topping, retaining = "Add credits for free", "Draw credits besides what is counted from events"
    return [
        Route("POST", every, write, api.open, opening, TAG, 201, body=_NEW, answer=CREDIT),
        Route("GET", every, read, api.list, listing, TAG, parameters=(*paging, *at), answer=page_shape(CREDIT)),
        Route("GET", one, read, api.get, "Get the credits of a customer", TAG, parameters=at, answer=CREDIT),
        Route("GET", f"{one}/transactions", read, api.moved, moves, TAG, parameters=(*paging, *at), answer=shape),
        Route("POST", f"{one}/topup", write, api.topup, topping, TAG, 201, body=_TOPUP, answer=TRANSACTION),
        Route("POST", f"{one}/purchase", write, api.buy, buying, TAG, 201, body=_PURCHASE, answer=_BOUGHT),
        Route("POST", f"{one}/usage", write, api.retain, retaining, TAG, 201, body=_USAGE, answer=TRANSACTION),
    ]


class _Asked(NamedTuple):
    """What a new account is made of; `balance` is what it begins with."""

    product_id: str
    values: Mapping[str, Any]
    balance: Decimal | None


_Balances = list[tuple[Held, list[Movement]]]


class _Accounts:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def open(self, call: Call) -> web.Response:
        asked = _read_new(await read_object(call.request))
        now = self._services.clock()
        account = await self._services.registry.write(_open, call.world, call.path("id"), asked, now)
        ((held, moved),), at = await self._balances(call, [account])
        return json_response(_object(held, moved, now), 201, at.headers)

    async def list(self, call: Call) -> web.Response:
        page, now = page_of(call), self._services.clock()
        found, total = await self._services.registry.read(_page, call.world, call.path("id"), page)
        balances, at = await self._balances(call, found)
        return json_response(paged([_object(*one, now) for one in balances], total, page), headers=at.headers)

    async def get(self, call: Call) -> web.Response:
        account = await self._require(call)
        ((held, moved),), at = await self._balances(call, [account])
        return json_response(_object(held, moved, self._services.clock()), headers=at.headers)

    async def moved(self, call: Call) -> web.Response:
        page, account = page_of(call), await self._require(call)
        ((_, moved),), at = await self._balances(call, [account])
        shown = moved[::-1][page.skip : page.skip + page.take]
        answer = paged([_movement_object(one) for one in shown], len(moved), page)
        return json_response(answer, headers=at.headers)

    async def topup(self, call: Call) -> web.Response:
        body, now = await read_object(call.request), self._services.clock()
        account = await self._require(call)
        amount, expires_at = _read_topup(body, now)
        made = await self._services.registry.write(_topup, account, amount, expires_at, now)
        ((_, moved),), at = await self._balances(call, [account])
        return json_response(_made_object(made.id, moved), 201, at.headers)

    async def buy(self, call: Call) -> web.Response:
        body, now = await read_object(call.request), self._services.clock()
        account = await self._require(call)
        asked = _read_purchase(body, now)
        with answered():
            invoice_id = await self._services.registry.write(_buy, account, asked, now)
        ((_, moved),), at = await self._balances(call, [account])
        return json_response({"invoice_id": invoice_id, "current_balance": balance_of(moved)}, 201, at.headers)

    async def retain(self, call: Call) -> web.Response:
        body, now = await read_object(call.request), self._services.clock()
        account = await self._require(call)
        amount, event_id = _read_usage(body)
        made = await self._services.registry.write(_retain, account, amount, event_id, now)
        ((_, moved),), at = await self._balances(call, [account])
        return json_response(_made_object(made.id, moved), 201, at.headers)

    async def _require(self, call: Call) -> CreditAccount:
        return await self._services.registry.read(_require, call.world, call.path("id"), call.path("product_id"))

    async def _balances(self, call: Call, accounts: Sequence[CreditAccount]) -> tuple[_Balances, AsOf]:
        """Give each account with its movements, all at one cut-off."""
        services, now = self._services, self._services.clock()
        at = await as_of_with_definitions(call, services.cutoffs, now, services.registry, services.store)
        held = await services.registry.read(read_held, call.world, accounts, at.revision, microseconds(now))
        moved = await services.store.run(
            count_movements, services.store, call.world, at.cutoff, held, microseconds(now)
        )
        return [(one, moved[one.account.id]) for one in held], at


def _object(held: Held, moved: Sequence[Movement], now: datetime) -> dict[str, Any]:
    account = held.account
    return {
        "product_id": account.product_id,
        "customer_id": account.customer_id,
        "name": held.name,
        "current_balance": balance_of(moved),
        "low_count_threshold": held.threshold,
        "last_refreshed_at": format_instant(now),
        "opened_at": format_instant(account.opened_at),
        "created_at": format_instant(account.created_at),
        "updated_at": format_instant(account.updated_at),
    }


def _movement_object(one: Movement) -> dict[str, Any]:
    return {
        "id": one.id,
        "type": one.kind.value,
        "credit_count": one.credits,
        "balance": one.balance,
        "occurred_at": format_instant(one.at_us),
        "until": None if one.until_us is None else format_instant(one.until_us),
        "expires_at": None if one.expires_us is None else format_instant(one.expires_us),
        "event_id": one.event_id,
    }


def _made_object(movement_id: str, moved: Sequence[Movement]) -> dict[str, Any]:
    return next(_movement_object(one) for one in moved if one.id == movement_id)


def _read_new(body: Mapping[str, Any]) -> _Asked:
    fields = Fields(body)
    product_id = fields.name("product_id", required=True)
    values = {"name": fields.name("name"), "low_count_threshold": read_quantity(fields, "low_count_threshold")}
    balance = read_quantity(fields, "balance")
    fields.refuse_faults()
    assert product_id is not None
    return _Asked(product_id, values, balance)


class _Bought(NamedTuple):
    """Credits that are to be bought, for an amount or by a price."""

    credits: Decimal
    expires_at: datetime | None
    amount: int | None
    price_id: str | None


def _read_purchase(body: Mapping[str, Any], now: datetime) -> _Bought:
    fields = Fields(body)
    count, expires_at = _read_amount(fields, "credit_count"), _read_expiry(fields, now)
    amount = fields.integer("amount_excluding_tax", least=0, most=AMOUNT_MAX)
    price_id = fields.name("price_id")
    if (fields.raw("amount_excluding_tax") is None) == (fields.raw("price_id") is None):
        fields.fault("price_id", "contradiction", "send either this or amount_excluding_tax, in minor units")
    fields.refuse_faults()
    assert count is not None
    return _Bought(count, expires_at, amount, price_id)


def _read_topup(body: Mapping[str, Any], now: datetime) -> tuple[Decimal, datetime | None]:
    fields = Fields(body)
    amount, expires_at = _read_amount(fields, "credit_count"), _read_expiry(fields, now)
    fields.refuse_faults()
    assert amount is not None
    return amount, expires_at


def _read_expiry(fields: Fields, now: datetime) -> datetime | None:
    sent, expires_at = fields.name("expires_at", characters_max=_ISO_MAX), None
    if sent is not None:
        try:
            expires_at = EPOCH + timedelta(microseconds=parse_instant(sent, "expires_at", zone_named("UTC")))
        except RangeError as error:
            fields.fault("expires_at", "timestamp", str(error))
        if expires_at is not None and expires_at <= now:
            fields.fault("expires_at", "out_of_range", "must lie in the future")
    return expires_at


def _read_usage(body: Mapping[str, Any]) -> tuple[Decimal, str | None]:
    fields = Fields(body)
    amount, event_id = _read_amount(fields, "usage_retained"), fields.name("event_id")
    fields.refuse_faults()
    assert amount is not None
    return amount, event_id


def _read_amount(fields: Fields, name: str) -> Decimal | None:
    amount = read_quantity(fields, name)
    if fields.raw(name) is None:
        fields.fault(name, "required", "is needed: send a number above 0")
    elif amount is not None and not amount:
        fields.fault(name, "out_of_range", "must be above 0")
    return amount


def _open(connection: sa.Connection, world: World, customer_id: str, asked: _Asked, now: datetime) -> CreditAccount:
    customer = require_customer(connection, world, customer_id)
    product = find_product(connection, world, asked.product_id)
    if product is None or product.type is not ProductType.CREDIT:
        message = f"product_id: there is no credit product {asked.product_id[:80]!r}: create it, or send another id"
        raise ApiError(404, message, [Fault("unknown", ("product_id",), message)])
    if product.status is ProductStatus.ARCHIVED:
        raise refused(f"product_id: product {product.id} is archived: PUT /v1/products/{product.id}/unarchive first")
    for weight in credit_aggregators(product.details):
        aggregator = find_aggregator(connection, world, weight.aggregator_id)
        if aggregator is not None and aggregator.operation not in ADDS_UP:
            message = f"aggregator {aggregator.id} is a {aggregator.operation.value}, which no events add up to"
            raise refused(f"product_id: {message}: balances follow counts and sums")
    if find_account(connection, world, customer.id, product.id) is not None:
        raise conflict(f"customer {customer.id} has credits of product {product.id} already: top them up")
    account = open_account(connection, world, customer.id, product.id, opened_at=now, now=now, values=asked.values)
    if asked.balance:
        insert_topup(connection, account, asked.balance, None, now)
    return account


def _require(connection: sa.Connection, world: World, customer_id: str, product_id: str) -> CreditAccount:
    customer = require_customer(connection, world, customer_id)
    found = find_account(connection, world, customer.id, product_id)
    if found is None:
        message = f"customer {customer.id} has no credits of product {product_id[:80]!r}"
        raise not_found(f"{message}: POST /v1/customers/{{id}}/credits, or subscribe to it")
    return found


def _page(connection: sa.Connection, world: World, customer_id: str, page: Page) -> tuple[list[CreditAccount], int]:
    own = [credit_accounts.c.customer_id == require_customer(connection, world, customer_id).id]
    return list_accounts(connection, world, conditions=own, take=page.take, skip=page.skip)


def _topup(
    connection: sa.Connection, account: CreditAccount, amount: Decimal, expires_at: datetime | None, now: datetime
) -> Incoming:
    _refuse_too_many(connection, account)
    return insert_topup(connection, account, amount, expires_at, now)


def _buy(connection: sa.Connection, account: CreditAccount, asked: _Bought, now: datetime) -> str:
    """Keep a purchase, and give the id of the invoice that it is in."""
    _refuse_too_many(connection, account)
    subscription, product = _subscribed(connection, account, now)
    amount = asked.amount
    if asked.price_id is not None:
        found = find_configuration(connection, account.world, asked.price_id)
        if found is None or found.product_id != account.product_id:
            message = f"price_id: product {account.product_id} has no price {asked.price_id[:80]!r}"
            raise ApiError(404, message, [Fault("unknown", ("price_id",), message)])
        configuration = found.configuration
        if configuration.currency != subscription.currency:
            message = f"price_id: {configuration.id} is in {configuration.currency}"
            raise refused(f"{message}, and subscription {subscription.id} in {subscription.currency}: send another one")
        check_packs(("credit_count",), asked.credits, pack_of([configuration.group]))
        prices = prices_of(configuration.group)
        assert isinstance(prices, UnitPrices), "credits are sold in packs"
        amount = rate(prices, asked.credits).amount
    assert amount is not None
    price = Price(amount, subscription.currency, subscription.id)
    insert_purchase(connection, account, asked.credits, asked.expires_at, now, price=price)
    period = outline_of(subscription).period_holding(product.payment_interval, microseconds(now))
    assert period is not None, "the product is there now"
    return invoice_id(subscription.id, product.payment_interval, period.start_us)


def _subscribed(
    connection: sa.Connection, account: CreditAccount, now: datetime
) -> tuple[Subscription, SubscriptionProduct]:
    """Give the subscription of a customer in whose invoices what it buys is, the newest one."""
    conditions = [subscriptions.c.customer_id == account.customer_id]
    found, _ = list_subscriptions(connection, account.world, conditions=conditions, take=SUBSCRIPTIONS_MAX, skip=0)
    for subscription in found:
        if subscription.status_at(now) is SubscriptionStatus.ACTIVE:
            for product in subscription.standing_at(microseconds(now)):
                if product.product_id == account.product_id:
                    return subscription, product
    message = f"customer {account.customer_id} has no running subscription to product {account.product_id}"
    raise refused(f"{message}, whose invoices would bill it: subscribe to it, or top up for free")


def _retain(
    connection: sa.Connection, account: CreditAccount, amount: Decimal, event_id: str | None, now: datetime
) -> Retained:
    known = None if event_id is None else retained_for(connection, account, event_id)
    if known is not None:
        return known
    _refuse_too_many(connection, account)
    return insert_retained(connection, account, amount, event_id, now)


def _refuse_too_many(connection: sa.Connection, account: CreditAccount) -> None:
    if count_transactions(connection, account) >= TRANSACTIONS_MAX:
        raise refused(f"{TRANSACTIONS_MAX} movements of these credits are kept, which is the most")
