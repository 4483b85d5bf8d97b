"""What `/openapi.json` says is what the running product does: every route, fuzzed by schemathesis."""

import uuid
import zlib
from functools import partial

import pytest
import schemathesis
from schemathesis.engine import from_schema
from schemathesis.engine.events import FatalError, NonFatalError, ScenarioFinished

from tests.pipeline.product import Product

pytestmark = pytest.mark.slow

KEY = "test_" + "k" * 40
WAIT_S_MAX = 120
AUTHORIZED = {"Authorization": f"Bearer {KEY}"}
RANGE = {"start_date": "2024-01-01", "end_date": "2024-02-01"}
CSV = b"timestamp,event_type,customer_id,record/id\n2024-01-16T10:00:00Z,call,acme,csv-1\n"


@pytest.fixture(scope="module")
def product(tmp_path_factory):
    """One for all tests here."""
    environment = {"METERLINE_BOOTSTRAP_API_KEY": KEY}
    started = Product(tmp_path_factory.mktemp("openapi") / "data", environment=environment).start()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def described(product):
    """The description that the product gives of itself."""
    options = {
        "seed": 1,
        "request-timeout": WAIT_S_MAX,
        "headers": AUTHORIZED,
        "generation": {"max-examples": 5, "database": "none", "no-shrink": True},
        "phases": {"examples": {"enabled": False}, "stateful": {"enabled": False}},
        "checks": {
            "negative_data_rejection": {"expected-statuses": REJECTIONS},
            # JSON Schema cannot say which currencies there are, nor that a start lies before an end.
            "positive_data_acceptance": {"enabled": False},
        },
    }
    config = schemathesis.Config.from_dict(options)
    return schemathesis.openapi.from_url(f"{product.url}/openapi.json", config=config)


REJECTIONS = ["400", "401", "403", "404", "405", "409", "413", "415", "417", "422"]


class Story:
    """Calls of operations that go well, each answer held against the description."""

    def __init__(self, described):
        self.described = described
        self.told = set()

    def __call__(self, method, path, *, body=None, query=None, media_type="application/json", headers=None, **names):
        operation = self.described[path][method]
        case = operation.Case(
            path_parameters=names,
            query=query or {},
            headers=headers or {},
            **({} if body is None else {"body": body, "media_type": media_type}),
        )
        answer = case.call_and_validate(headers=AUTHORIZED)
        assert answer.status_code < 300, (method, path, answer.text)
        self.told.add(operation.label)
        return answer.json() if answer.headers.get("content-type") == ["application/json"] else None


def an_event(customer_id, record_id):
    timestamp = "2024-01-15T10:00:00Z"
    record = {"id": record_id, "amount": 1.5, "tags": ["a", None]}
    return {"customer_id": customer_id, "event_type": "call", "timestamp": timestamp, "record": record}


@pytest.fixture(scope="module")
def source(postgres):
    """The address of a database with usage in it."""
    database = postgres.database()
    postgres.run("CREATE TABLE calls AS SELECT 1 AS id, 'acme' AS company, now() AS at", database=database)
    yield postgres.url(database)
    postgres.drop(database)


@pytest.fixture(scope="module")
def names(described, source):
    """What was called, and the names of what is there."""
    return tell_story(described, source)


def tell_story(described, source):
    """Let every operation go well once; gives their labels, and the names of what is there afterwards."""
    call = Story(described)
    acme = f"acme-{uuid.uuid4().hex}"
    customer = call("POST", "/v1/customers", body={"name": "Acme", "external_id": acme, "currency": "EUR"})["id"]
    gone = call("POST", "/v1/customers", body={"name": "Gone", "external_id": None, "tax_rate_custom": 7.5})["id"]
    for verb in ("archive", "unarchive"):
        for method in ("PUT", "POST"):
            call(method, f"/v1/customers/{{id}}/{verb}", id=gone)
    call("PUT", "/v1/customers/{id}/archive", id=gone)
    call("DELETE", "/v1/customers/{id}", id=gone)
    call("PUT", "/v1/customers/{id}", id=customer, body={"country": "FR", "timezone": "Europe/Paris"})

    counted = {"name": "Calls", "entity": "call", "operation": "sum", "property": "amount"}
    aggregator = call("POST", "/v1/aggregators", body={**counted, "thresholds": [{"threshold_value": 3}]})["id"]
    unused = call("POST", "/v1/aggregators", body=counted)["id"]
    call("PUT", "/v1/aggregators/{id}", id=unused, body={"unit_name": "calls"})
    call("GET", "/v1/aggregators/{id}/versions", id=unused)
    call("DELETE", "/v1/aggregators/{id}", id=unused)
    weighted = {
        **counted,
        "operation": "weighted_sum",
        "property": None,
        "formula_sql": "if(amount > 1, amount / 3, 1)",
    }
    level = call("POST", "/v1/aggregators", body=weighted)["id"]

    for version, taken in (("v1", "events_created"), ("v2", "events_accepted")):
        call("POST", f"/{version}/events", body=an_event(acme, f"{version}-1"))
        batch = [an_event(acme, f"{version}-2"), {"customer_id": 7}, an_event(acme, f"{version}-3")]
        told = call("POST", f"/{version}/events/batch", body=batch)
        assert (len(told[taken]), len(told["events_failed"])) == (2, 1)
        told = call("POST", f"/{version}/events/batch", body=batch, headers={"Prefer": "return=minimal"})
        assert told[f"{taken}_count"] == 2
    imported = call("POST", "/v1/events/import", body={"file": CSV}, media_type="multipart/form-data")["id"]
    call("GET", "/v1/imports/{id}", id=imported)
    call("GET", "/v1/events/import/template")
    assert call("DELETE", "/v1/events", body={"matching": "record_ids", "record_ids": ["v2-3"]}) == 1
    call("GET", "/v1/events", query={"event_type": "call", "order": "asc"})
    call("GET", "/v1/events/{event_type}/{record_id}/versions", event_type="call", record_id="v1-1")
    call("GET", "/v1/ingest/lag")
    call("GET", "/v1/webhooks/messages", query={"take": 5})
    call("POST", "/v1/events/prices", body=an_event(acme, "priced"))
    call("POST", "/v1/events/simulate-prices", body=an_event(acme, "imagined"))
    call("GET", "/v1/events/prices", query={"record_id": "priced"})
    forgotten = call("POST", "/v1/customers", body={"name": "Forgotten"})["id"]
    erasure = call("POST", "/v1/customers/{id}/erase", id=forgotten)["id"]
    call("GET", "/v1/erasures/{id}", id=erasure)

    for path in ("", "/{aggregator_id}", "/{aggregator_id}/timeseries", "/{aggregator_id}/events"):
        inner = {"aggregator_id": aggregator} if path else {}
        call("GET", f"/v1/customers/{{id}}/usage{path}", query=RANGE, id=customer, **inner)
    for path in ("", "/timeseries", "/group-by-customer"):
        call("GET", f"/v1/aggregators/{{id}}/usage{path}", query=RANGE, id=aggregator)
    grouped = "/v1/aggregators/{id}/usage/group-by-property"
    call("GET", grouped, query={**RANGE, "property": "tokens"}, id=aggregator)

    rows = [{"type": "volume", "from": 0, "to": None, "amount": 250, "unit_count": 1}]
    monthly = {"period": "months"}
    configurations = [{"currency": "EUR", "prices": rows, "billing_interval": monthly}]
    sold = {"name": "Calls", "type": "dynamic", "aggregator_id": aggregator, "price_configurations": configurations}
    made = call("POST", "/v1/products", body=sold)
    drawn = [{"aggregator_id": aggregator, "weight": 2.5}, {"aggregator_id": level, "weight": 1}]
    packs = [{"currency": "EUR", "prices": [{"type": "bundle", "unit_count": 50, "amount": 1000}]}]
    credit = {"name": "Credits", "type": "credit", "credit_aggregators": drawn, "price_configurations": packs}
    held = call("POST", "/v1/products", body=credit)["id"]
    path = "/v1/customers/{id}/credits/{product_id}/usage"
    assert call("GET", path, query=RANGE, id=customer, product_id=held)["credits_used"] > 0
    configuration = made["price_configurations"][0]["id"]
    call("PUT", "/v1/products/{id}", id=made["id"], body={"description": "Each call"})
    for verb in ("archive", "unarchive"):
        for method in ("PUT", "POST"):
            call(method, f"/v1/products/{{id}}/{verb}", id=made["id"])
    call("PUT", "/v1/price-configurations/{id}/prices", id=configuration, body=rows)
    book, plan = tell_of_the_catalog(call, sold, made["id"], configuration)
    call("POST", "/v1/prices/preview", body={"currency": "EUR", "prices": rows, "quantities": [0, 63.5]})
    wanted = {"customer_id": acme, "starts_at": "2024-01-01", "products": [{"id": made["id"]}]}
    wanted["products"][0]["payment_interval"] = monthly
    kept, ended, again = (call("POST", "/v2/subscriptions", body=wanted)["id"] for _ in range(3))
    tell_of_updates(call, sold, kept)
    tell_of_seats(call, sold, wanted)
    call("POST", "/v1/subscriptions/refresh")
    call("POST", "/v1/subscriptions/{id}/cancel", id=ended)
    call("PUT", "/v1/subscriptions/{id}/cancel", id=again)
    invoices = call("GET", "/v1/invoices", query={"status": "open", "customer_id": acme})["data"]
    call("GET", "/v1/invoices/{id}", id=invoices[0]["id"])
    begun = {"status": "open", "customer_id": acme, "period_starts_at__lt": "2024-01-15"}
    january = call("GET", "/v1/invoices", query=begun)["data"][0]["id"]
    assert call("GET", "/v1/invoices/{id}/events", id=january)["data"]
    drafts = [{"name": "Dearer", "prices": [{**rows[0], "amount": 300}]}]
    tried = {"product_id": made["id"], "currency": "EUR", "configurations": drafts, **RANGE}
    simulation, stopped = (call("POST", "/v1/simulations", body=tried)["id"] for _ in range(2))
    call("GET", "/v1/simulations/{id}", id=simulation)
    call("DELETE", "/v1/simulations/{id}", id=stopped)
    balanced = call("POST", "/v1/products", body={**credit, "credit_aggregators": drawn[:1]})["id"]
    terms = {**wanted["products"][0], "id": balanced, "count": 50}
    tell_of_credits(call, customer, balanced, {**wanted, "products": [terms]})
    coupon = tell_of_coupons(call)
    loading = tell_of_loading(call, source)
    for path, name in (
        ("/v1/connections", loading["connections"]),
        ("/v1/dataloaders", loading["dataloaders"]),
        ("/v1/customers", customer),
        ("/v1/aggregators", aggregator),
        ("/v1/products", made["id"]),
        ("/v1/price-books", book),
        ("/v1/plans", plan),
        ("/v1/coupons", coupon),
        ("/v1/price-configurations", configuration),
        ("/v1/subscriptions", kept),
        ("/v2/subscriptions", kept),
    ):
        call("GET", path)
        call("GET", path + "/{id}", id=name)
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"):
        call("GET", path)
    return call.told, {
        **loading,
        "customers": customer,
        "aggregators": aggregator,
        "products": made["id"],
        "price-configurations": configuration,
        "price-books": book,
        "plans": plan,
        "coupons": coupon,
        "subscriptions": kept,
        "invoices": invoices[0]["id"],
        "imports": imported,
        "simulations": simulation,
        "erasures": erasure,
        "events": "call",
        "aggregator_id": aggregator,
        "product_id": balanced,
        "record_id": "v1-1",
    }


def tell_of_the_catalog(call, sold, product, configuration):
    """Price books, plans and configurations of a product; gives the ids of a book and a plan that stay."""
    rows, monthly = sold["price_configurations"][0]["prices"], {"period": "months"}
    book = call("POST", "/v1/price-books", body={"name": "Partners"})["id"]
    call("PUT", "/v1/price-books/{id}", id=book, body={"description": "For partners"})
    in_book = {"product_id": product, "currency": "EUR", "prices": rows, "price_book_id": book}
    spare = call("POST", "/v1/price-configurations", body=in_book)["id"]
    call("PUT", "/v1/price-configurations/{id}", id=spare, body={"countries": ["FR"]})
    for verb in ("archive", "unarchive"):
        for method in ("PUT", "POST"):
            call(method, f"/v1/price-configurations/{{id}}/{verb}", id=spare)
    call("GET", "/v1/price-configurations/{id}/versions", id=configuration)
    plan = call("POST", "/v1/plans", body={"name": "Starter"})["id"]
    call("PUT", "/v1/plans/{id}", id=plan, body={"products": [{"id": product, "payment_interval": monthly}]})
    for verb in ("archive", "unarchive"):
        for method in ("PUT", "POST"):
            call(method, f"/v1/plans/{{id}}/{verb}", id=plan)
    gone_book = call("POST", "/v1/price-books", body={"name": "Gone"})["id"]
    gone_plan = call("POST", "/v1/plans", body={"name": "Gone"})["id"]
    gone_product = call("POST", "/v1/products", body=sold)["id"]
    gone_price = call("POST", "/v1/price-configurations", body={**in_book, "currency": "USD"})["id"]
    for path, name in (("price-books", gone_book), ("plans", gone_plan), ("products", gone_product)):
        call("DELETE", f"/v1/{path}/{{id}}", id=name)
    call("DELETE", "/v1/price-configurations/{id}", id=gone_price)
    return book, plan


def tell_of_loading(call, source):
    """A connection and a dataloader that stay, with a run; gives their ids."""
    reached = {"provider": "postgres", "name": "Usage", "url": source}
    connection, gone = (call("POST", "/v1/connections", body=reached)["id"] for _ in range(2))
    call("PUT", "/v1/connections/{id}", id=gone, body={"name": "Gone"})
    call("POST", "/v1/connections/{id}/ping", id=gone)
    call("DELETE", "/v1/connections/{id}", id=gone)
    asked = {"connection_id": connection, "query": 'SELECT id, company AS "customerId", at AS timestamp FROM calls'}
    assert call("POST", "/v1/dataloaders/preview", body=asked)["rows"]
    loader, spare = (call("POST", "/v1/dataloaders", body={**asked, "event_type": "call"})["id"] for _ in range(2))
    call("PUT", "/v1/dataloaders/{id}", id=spare, body={"cron": "0 4 * * *"})
    call("DELETE", "/v1/dataloaders/{id}", id=spare)
    run = call("POST", "/v1/dataloaders/{id}/run", id=loader, body={"from_start": True})["id"]
    call("GET", "/v1/dataloaders/{id}/runs", id=loader)
    call("GET", "/v1/dataloaders/{id}/runs/{run_id}", id=loader, run_id=run)
    return {"connections": connection, "dataloaders": loader, "run_id": run}


def tell_of_updates(call, sold, subscription):
    """Add a product to a subscription and take it away again."""
    monthly = {"period": "months"}
    one_more = call("POST", "/v1/products", body={**sold, "name": "More"})["id"]
    added = {"type": "add_product", "payload": {"product_id": one_more, "payment_interval": monthly}}
    call("POST", "/v1/subscriptions/{id}/update", id=subscription, body=added)
    removed = {"type": "remove_product", "payload": {"product_id": one_more}}
    call("POST", "/v1/subscriptions/{id}/update-many", id=subscription, body={"updates": [removed]})
    call("GET", "/v1/subscriptions/{id}/updates", id=subscription)


def tell_of_seats(call, sold, wanted):
    """Subscribe to connected seats, and read their count."""
    users = call("POST", "/v1/aggregators", body={"name": "Users", "entity": "call", "operation": "count"})["id"]
    seats = call("POST", "/v1/products", body={**sold, "name": "Seats", "type": "seat", "aggregator_id": users})["id"]
    terms = {"id": seats, "payment_interval": {"period": "months"}, "charge_highest_value": True}
    terms |= {"seat_refresh_schedule": "periodic", "seat_refresh_interval": {"period": "days"}}
    team = call("POST", "/v2/subscriptions", body={**wanted, "starts_at": "2024-02-01", "products": [terms]})["id"]
    call("POST", "/v2/subscriptions/{id}/refresh-seat-products", id=team)


def tell_of_coupons(call):
    """Give the id of a coupon that stays."""
    coupon, gone = (
        call("POST", "/v1/coupons", body={"name": "Ten", "discount_percent": 10, "repeat": "forever"})["id"]
        for _ in range(2)
    )
    call("PUT", "/v1/coupons/{id}", id=gone, body={"name": "Gone"})
    call("DELETE", "/v1/coupons/{id}", id=gone)
    return coupon


def tell_of_credits(call, customer, product, wanted):
    """What a customer has of credits: given, bought, drawn."""
    every = "/v1/customers/{id}/credits"
    one, names = every + "/{product_id}", {"id": customer, "product_id": product}
    call("POST", every, id=customer, body={"product_id": product, "balance": 100})
    call("POST", "/v2/subscriptions", body=wanted)
    call("POST", one + "/topup", body={"credit_count": 7.5}, **names)
    call("POST", one + "/purchase", body={"credit_count": 30, "amount_excluding_tax": 499}, **names)
    call("POST", one + "/usage", body={"usage_retained": 2, "event_id": "e1"}, **names)
    call("GET", every, id=customer)
    call("GET", one, **names)
    call("GET", one + "/transactions", **names)


def test_every_operation_goes_well_and_answers_as_described(described, names):
    """No operation is missing from the story, so a new one needs its line there."""
    told, _ = names
    assert {operation.ok().label for operation in described.get_all_operations()} <= told


def test_whatever_is_sent_the_answer_is_one_that_is_described(described, names, request):
    """No 5xx, no status, content type, header or body that is not described; what breaks the description is refused,
    and so is every method that it does not name, and every request without a good key."""

    def before_call(context, case, kwargs):  # noqa: ARG001 - the names by which it is called.
        aim(case, names[1])

    schemathesis.hook(before_call)
    request.addfinalizer(partial(schemathesis.hooks.unregister, before_call))
    tried, faults = set(), []
    for event in from_schema(described).execute():
        assert not isinstance(event, FatalError), event.exception
        if isinstance(event, NonFatalError):
            faults.append(f"{event.label}: {event.value}")
        if isinstance(event, ScenarioFinished):
            tried.add(event.recorder.label)
            faults += told_by(event.recorder)
    assert not faults, "\n\n".join(faults)
    assert {operation.ok().label for operation in described.get_all_operations()} <= tried


def told_by(recorder):
    """Each check that failed, with the request that it failed for."""
    for case_id, checks in recorder.checks.items():
        for check in checks:
            if check.failure_info is not None:
                failure, curl = check.failure_info.failure, check.failure_info.code_sample
                yield f"{recorder.label}: {failure.title}\n{failure.message}\n{curl}\n({case_id})"


def aim(case, names):
    """Let every other good request name what is there, and never repeat an Idempotency-Key."""
    if not case.meta.generation.mode.is_positive:
        return
    if case.path_parameters and zlib.crc32(f"{case.query}{case.body}".encode()) % 2:
        resource = case.path.split("/")[2]
        for name in case.path_parameters:
            case.path_parameters[name] = names.get(name) or names[resource]
    if "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
