from urllib.parse import quote

import pytest

from metering.registry.customers import ensure_customers, identifiers_of, resolve
from metering.world import Mode, World

ACME = {
    "name": "Acme",
    "external_id": "acme/1",
    "currency": "EUR",
    "timezone": "Europe/Paris",
    "billing_email": "billing@acme.example",
    "billing_address": {"line1": "1 rue\nX", "country": "FR", "unheard_of": 1},
    "invoice_emails": ["a@acme.example"],
    "tax_rate_custom": 20.5,
    "custom_properties": {"tier": "gold", "big": 12345678901234567890123},
    "unheard_of": {"deep": []},
}


async def test_a_created_customer_comes_back_with_every_documented_field(api):
    """201 and the object: what was sent, what is derived, defaults for the rest; unknown fields are not kept."""
    made = await api.post("/v1/customers", ACME)
    assert made.status == 201
    customer = made.json
    assert customer["id"].startswith("cus_")
    assert (customer["type"], customer["status"], customer["country"]) == ("corporate", "active", "FR")
    assert customer["billing_address"] == {"line1": "1 rue\nX", "country": "FR"}
    assert str(customer["tax_rate_custom"]) == "20.5"
    assert customer["custom_properties"]["big"] == 12345678901234567890123
    assert customer["vat_number"] is None
    assert "unheard_of" not in customer
    assert customer["created_at"].endswith("Z")
    assert (await api.get(f"/v1/customers/{customer['id']}")).json == customer


@pytest.mark.parametrize("external_id", ["acme/1", "a b", "100%", "{x}", "é漢", "a?b#c", "%2F", "..x", "+", "a;b"])
async def test_a_customer_is_found_by_any_external_id(api, external_id):
    """Slashes, percent signs and braces are part of an id when they are encoded."""
    made = await api.post("/v1/customers", {"external_id": external_id})
    assert made.status == 201
    found = await api.get(f"/v1/customers/{quote(external_id, safe='')}")
    assert (found.status, found.json["id"]) == (200, made.json["id"])


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"name": 5}, ["name"]),
        ({"name": ""}, ["name"]),
        ({"name": "a\x00b"}, ["name"]),
        ({"external_id": "x" * 256}, ["external_id"]),
        ({"type": "alien"}, ["type"]),
        ({"type": "automatically_created"}, ["type"]),
        ({"currency": "eur"}, ["currency"]),
        ({"currency": "DEM"}, ["currency"]),
        ({"country": "ZZ"}, ["country"]),
        ({"timezone": "Mars/Olympus"}, ["timezone"]),
        ({"timezone": "../../etc/passwd"}, ["timezone"]),
        ({"billing_email": "nobody"}, ["billing_email"]),
        ({"billing_address": "here"}, ["billing_address"]),
        ({"billing_address": {"country": "XX"}}, ["billing_address", "country"]),
        ({"billing_address": {"line1": 1}}, ["billing_address", "line1"]),
        ({"invoice_emails": "a@b.c"}, ["invoice_emails"]),
        ({"invoice_emails": ["a@b.c", 4]}, ["invoice_emails", 1]),
        ({"tax_rate_custom": 101}, ["tax_rate_custom"]),
        ({"tax_rate_custom": True}, ["tax_rate_custom"]),
        ({"taxability": "no"}, ["taxability"]),
        ({"custom_payment_delay": 1.5}, ["custom_payment_delay"]),
        ({"custom_properties": []}, ["custom_properties"]),
        ({"organisation_invoicing": "yes"}, ["organisation_invoicing"]),
    ],
)
async def test_a_bad_field_is_named_by_its_path(api, changes, path):
    """400, one fault, whether the customer is new or changed; nothing is kept."""
    refused = await api.post("/v1/customers", {"name": "Acme", **changes})
    assert (refused.status, refused.paths) == (400, [path])
    assert refused.json["errors"][0]["message"]
    made = (await api.post("/v1/customers", {"name": "Acme"})).json
    refused = await api.put(f"/v1/customers/{made['id']}", changes)
    assert (refused.status, refused.paths) == (400, [path])
    assert (await api.get(f"/v1/customers/{made['id']}")).json == made


async def test_all_faults_are_told_at_once(api):
    """Somebody who gets three fields wrong is told of three."""
    refused = await api.post("/v1/customers", {"name": 1, "currency": 2, "country": 3})
    assert refused.paths == [["name"], ["currency"], ["country"]]
    assert "and 2 more" in refused.json["message"]


async def test_a_customer_needs_a_name_or_an_external_id(api):
    """Either is enough, and neither is not."""
    assert (await api.post("/v1/customers", {})).paths == [["name"]]
    assert (await api.post("/v1/customers", {"external_id": "x"})).status == 201


async def test_details_have_a_limit(api):
    """Custom properties are no place for files."""
    assert (await api.post("/v1/customers", {"name": "A", "properties": {"x": "y" * 70_000}})).status == 413


async def test_a_change_touches_what_was_sent_alone(api):
    """Absent fields stay, null ones are emptied, and the object may be sent back as it came."""
    made = (await api.post("/v1/customers", ACME)).json
    path = f"/v1/customers/{made['id']}"
    changed = (await api.put(path, {"name": "Acme 2", "billing_email": None})).json
    assert (changed["name"], changed["billing_email"], changed["currency"]) == ("Acme 2", None, "EUR")
    assert changed["custom_properties"] == made["custom_properties"]
    again = (await api("PUT", path, data=(await api.get(path)).text.encode())).json
    assert {**again, "updated_at": None} == {**changed, "updated_at": None}


async def test_an_external_id_belongs_to_one_customer(api):
    """409, naming the field, on creation and on change."""
    await api.post("/v1/customers", {"external_id": "taken"})
    refused = await api.post("/v1/customers", {"external_id": "taken"})
    assert (refused.status, refused.paths) == (409, [["external_id"]])
    other = (await api.post("/v1/customers", {"name": "Other"})).json
    assert (await api.put(f"/v1/customers/{other['id']}", {"external_id": "taken"})).status == 409


async def test_an_automatically_created_customer_is_hidden_until_asked_for_and_adopted(api, registry, account, clock):
    """`type=` shows it; creating a customer of that external id takes it over with its id."""
    with registry.writing() as connection:
        ensure_customers(connection, account, ["seen"], clock())
    assert (await api.get("/v1/customers")).json["meta"]["total"] == 0
    listed = (await api.get("/v1/customers?type=automatically_created")).json
    assert [row["external_id"] for row in listed["data"]] == ["seen"]
    automatic = listed["data"][0]["id"]
    kept = await api.put(f"/v1/customers/{automatic}", {"type": "automatically_created", "name": "Seen"})
    assert (kept.status, kept.json["type"]) == (200, "automatically_created")
    adopted = await api.post("/v1/customers", {"external_id": "seen", "name": "Seen"})
    assert (adopted.status, adopted.json["id"], adopted.json["type"]) == (201, automatic, "corporate")


async def test_an_id_seen_in_events_can_be_attached_unless_its_holder_is_billed(api, registry, account, clock, above):
    """Attaching moves all of the holder's ids; a holder with subscriptions keeps them."""
    with registry.writing() as connection:
        ensure_customers(connection, account, ["seen"], clock())
        holder = resolve(connection, account, "seen")
    made = (await api.post("/v1/customers", {"name": "Acme"})).json
    path = f"/v1/customers/{made['id']}"
    above.customers[holder.id] = ["sub_1"]
    assert (await api.put(path, {"external_id": "seen"})).status == 409
    above.customers.clear()
    assert (await api.put(path, {"external_id": "seen"})).status == 200
    with registry.reading() as connection:
        ids = identifiers_of(connection, resolve(connection, account, "seen"))
    assert set(ids) == {made["id"], holder.id, "seen"}


async def test_archiving_and_unarchiving(api):
    """PUT and POST both do it, twice is once, and the list can be filtered by it."""
    made = (await api.post("/v1/customers", {"name": "Acme", "external_id": "a/b"})).json
    for method in ("PUT", "POST"):
        archived = await api(method, "/v1/customers/a%2Fb/archive")
        assert (archived.status, archived.json["status"]) == (200, "archived")
    assert (await api.get("/v1/customers?status=archived")).json["data"][0]["id"] == made["id"]
    assert (await api.get("/v1/customers?status__not=archived")).json["data"] == []
    for method in ("PUT", "POST"):
        restored = await api(method, f"/v1/customers/{made['id']}/unarchive")
        assert restored.json["status"] == "active"


async def test_a_customer_is_deleted_when_archived_and_not_billed(api, above):
    """204 then; 409 says what stands against it before."""
    made = (await api.post("/v1/customers", {"name": "Acme"})).json
    path = f"/v1/customers/{made['id']}"
    refused = await api("DELETE", path)
    assert refused.status == 409
    assert "archived" in refused.json["message"]
    await api("PUT", f"{path}/archive")
    above.customers[made["id"]] = ["sub_1"]
    refused = await api("DELETE", path)
    assert refused.status == 409
    assert "1 subscription" in refused.json["message"]
    above.customers.clear()
    gone = await api("DELETE", path)
    assert (gone.status, gone.text) == (204, "")
    assert (await api.get(path)).status == 404
    assert (await api("DELETE", path)).status == 404


async def test_events_of_a_deleted_customer_stay_somebodys(api):
    """Its external id becomes an automatically created customer's, and may be taken over; its own id is gone."""
    made = (await api.post("/v1/customers", {"external_id": "acme", "name": "Acme"})).json
    await api("PUT", "/v1/customers/acme/archive")
    assert (await api("DELETE", "/v1/customers/acme")).status == 204
    assert (await api.get(f"/v1/customers/{made['id']}")).status == 404
    automatic = (await api.get("/v1/customers/acme")).json
    assert (automatic["type"], automatic["name"]) == ("automatically_created", None)
    again = await api.post("/v1/customers", {"external_id": "acme", "name": "Acme again"})
    assert (again.status, again.json["id"]) == (201, automatic["id"])


async def test_every_id_that_events_may_name_stays_somebodys_whatever_is_deleted(api, registry, account, clock):
    """The id of a customer that was adopted, and of one deleted before: all go to the one that takes the place."""
    with registry.writing() as connection:
        ensure_customers(connection, account, ["seen"], clock())
        adopted = resolve(connection, account, "seen").id
    made = (await api.post("/v1/customers", {"name": "Acme"})).json["id"]
    await api.put(f"/v1/customers/{made}", {"external_id": "seen"})
    gone = [adopted, made]
    for _ in range(2):
        await api("PUT", "/v1/customers/seen/archive")
        assert (await api("DELETE", "/v1/customers/seen")).status == 204
        with registry.reading() as connection:
            automatic = resolve(connection, account, "seen")
            assert set(identifiers_of(connection, automatic)) == {"seen", automatic.id, *gone}
        assert [(await api.get(f"/v1/customers/{identifier}")).status for identifier in gone] == [404] * len(gone)
        gone.append(automatic.id)


@pytest.mark.parametrize(("method", "suffix"), [("GET", ""), ("PUT", ""), ("DELETE", ""), ("PUT", "/archive")])
@pytest.mark.parametrize("identifier", ["nobody", "%00", "%ff", "a%0Ab", "x" * 3000])
async def test_an_unknown_customer_is_not_found(api, method, suffix, identifier):
    """404 for whatever stands in the path."""
    missing = await api(method, f"/v1/customers/{identifier}{suffix}", {} if method == "PUT" else None)
    assert missing.status == 404
    assert missing.json["errors"] == []


@pytest.fixture
async def three(api):
    for name, more in (
        ("Instagram", {"external_id": "ig", "currency": "USD"}),
        ("100%_pure", {"external_id": "pure", "billing_email": "x@pure.example"}),
        ("zeta", {}),
    ):
        assert (await api.post("/v1/customers", {"name": name, **more})).status == 201


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["zeta", "100%_pure", "Instagram"]),
        ("unheard_of=1&unheard__of__equals=2", ["zeta", "100%_pure", "Instagram"]),
        ("name=zeta", ["zeta"]),
        ("name__equals=zeta", ["zeta"]),
        ("name__not=zeta", ["100%_pure", "Instagram"]),
        ("currency__not=USD", ["zeta", "100%_pure"]),
        ("name__contains=instagram", ["Instagram"]),
        ("name__contains=%25_", ["100%_pure"]),
        ("name__startsWith=100", ["100%_pure"]),
        ("name__endWith=a", ["zeta"]),
        ("external_id__in=ig,pure,nobody", ["100%_pure", "Instagram"]),
        ("external_id__notIn=ig,nobody", ["zeta", "100%_pure"]),
        ("external_id__isNull", ["zeta"]),
        ("external_id__isNull=true", ["zeta"]),
        ("external_id__isNull=false", ["100%_pure", "Instagram"]),
        ("currency__isNotNull=true", ["Instagram"]),
        ("billing_email=x@pure.example", ["100%_pure"]),
        ("billing_email__isNull=true", ["zeta", "Instagram"]),
        ("created_at__gte=2020-01-01", ["zeta", "100%_pure", "Instagram"]),
        ("created_at__lt=2020-01-01T00:00:00Z", []),
        ("name__not=zeta&currency__isNull=true", ["100%_pure"]),
        ("take=1&skip=1", ["100%_pure"]),
        ("take=0", []),
    ],
)
@pytest.mark.usefixtures("three")
async def test_lists_are_filtered_by_documented_fields(api, query, names):
    """All filters hold at once; a name that is no field is passed over; newest first."""
    listed = await api.get(f"/v1/customers?{query}")
    assert listed.status == 200
    assert [row["name"] for row in listed.json["data"]] == names


@pytest.mark.usefixtures("three")
async def test_a_page_tells_how_many_there_are(api):
    """`total` is of the filter, `taken` of the page."""
    assert (await api.get("/v1/customers?take=1&skip=1")).json["meta"] == {"total": 3, "taken": 1, "skipped": 1}


@pytest.mark.parametrize(
    "query",
    [
        "take=101",
        "take=-1",
        "skip=x",
        "name__like=x",
        "name__lt=x",
        "updated_at__isNull=true",
        "created_at__gte=yesterday",
        "created_at__gte=0001-01-01T00:00%2B23:00",
        "name=%00",
        "&".join(["id=x"] * 51),
    ],
)
async def test_a_filter_that_cannot_be_is_refused(api, query):
    """400: dropped in silence, it would answer with more than was asked for."""
    assert (await api.get(f"/v1/customers?{query}")).status == 400


async def test_customers_of_other_worlds_are_other_customers(api, new_key, account):
    """One external id may be in use in each mode."""
    await api.post("/v1/customers", {"external_id": "same"})
    prod = new_key(World(account.account_id, Mode.PROD))
    assert (await api("GET", "/v1/customers/same", key=prod)).status == 404
    assert (await api("POST", "/v1/customers", {"external_id": "same"}, key=prod)).status == 201
