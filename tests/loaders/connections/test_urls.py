"""A database's URL is read in one way only, and what is wrong with it is said without any of it."""

import pytest

from loaders.connections.secret_parts import MaskError, hide_secrets, mask_url, masked, unmask_credentials, unmask_url
from loaders.connections.urls import UrlError, parse_url
from loaders.provider import Address, Provider

PG = Provider.POSTGRES


@pytest.mark.parametrize(
    ("provider", "text"),
    [
        (PG, "postgres://u:p@db.example.com/usage"),
        (PG, "postgresql://u:p%40%2F@[::1]:5432/usage?sslmode=require"),
        (PG, "postgres://u@10.0.0.1:5432,10.0.0.2:5433/usage"),
        (PG, "postgres://u:@localhost"),
        (Provider.MYSQL, "mysql://u:p@db:3306/usage"),
        (Provider.MONGODB, "mongodb://a:1,b:2,c:3/usage?replicaSet=rs&readPreferenceTags=dc:1&readPreferenceTags="),
        (Provider.MONGODB, "mongodb+srv://u:p@cluster.example.com/usage"),
    ],
)
def test_good_urls_come_back_as_they_were_written(provider, text):
    assert parse_url(provider, text).text == text


@pytest.mark.parametrize(
    ("provider", "text", "told"),
    [
        (PG, "mysql://u:hunter2@db/usage", "postgres://"),
        (PG, "u:hunter2@db/usage", "postgres://"),
        (PG, "postgres://u:hunt/er2@db/usage", "%2F"),
        (PG, "postgres://u:12/hunter2@db/usage", "%2F"),
        (PG, "postgres://u:12?hunter2@db/usage", "%3F"),
        (PG, "postgres://u:hunter2#x@db/usage", "%23"),
        (PG, "postgres://u:hunter2@x@db/usage", "%40"),
        (PG, "postgres://u:hunter2%@db/usage", "hexadecimal"),
        (PG, "postgres://u:hunter 2@db/usage", "%20"),
        (PG, "postgres://u:hunter2\\@db/usage", "backslash"),
        (PG, "postgres://:hunter2@db/usage", "no user"),
        (PG, "postgres:///usage", "no host"),
        (PG, "postgres://u:hunter2@%2Fvar%2Frun/usage", "host"),
        (PG, "postgres://u:hunter2@db:0/usage", "port"),
        (PG, "postgres://u:hunter2@db:65536/usage", "port"),
        (PG, "postgres://u:hunter2@[::1/usage", "host"),
        (PG, "postgres://u:hunter2@db/usage?host=hunter2.com", "parameter host"),
        (PG, "postgres://u:hunter2@db/usage?h%6Fst=hunter2.com", "parameter host"),
        (PG, "postgres://u:hunter2@db/usage?sslmode", "name=value"),
        (PG, "postgres://u:hunter2@db/usage?a=1&", "name=value"),
        (PG, "postgres://u:hunter2@db/usage?a=1=2", "%3D"),
        (PG, "postgres://u@db/usage?password=hunter2", "parameter password"),
        (PG, "postgres://u:hunt[er2@db/usage", "%5B"),
        (PG, "postgres://u:hunter2@db/usage?a=1&a=2", "twice"),
        (PG, "postgres://u:hunter2@db/us%00age", "control"),
        (Provider.MYSQL, "mysql://u:hunter2@a,b/usage", "2 hosts"),
        (Provider.MONGODB, "mongodb+srv://u:hunter2@db:27017/usage", "port"),
        (PG, "", "postgres://"),
        (PG, "postgres://u:hunter2@db/" + "x" * 4000, "characters"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused_in_words_without_the_password(provider, text, told):
    with pytest.raises(UrlError, match=told) as refusal:
        parse_url(provider, text)
    assert "hunt" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgres://u:hunter2@db/usage", "postgres://u:***@db/usage"),
        ("postgres://u:@db/usage", "postgres://u:@db/usage"),
        (
            "postgres://u@db/usage?sslpass%77ord=hunter2&sslmode=require",
            "postgres://u@db/usage?sslpass%77ord=***&sslmode=require",
        ),
        ("postgres://u@db/?sslpassword=hunter2&sslkey=hunter2", "postgres://u@db/?sslpassword=***&sslkey=***"),
    ],
)
def test_the_password_and_secret_parameters_are_masked(text, shown):
    assert masked(Address(PG, url=text)) == {"url": shown}
    assert "hunter2" not in repr(parse_url(PG, text))


KEPT = parse_url(PG, "postgres://u:hunter2@db/usage?sslmode=require&sslpassword=s3cr3t")


@pytest.mark.parametrize("text", [mask_url(KEPT).text, "postgres://u@db/usage?sslmode=require&sslpassword=***"])
def test_a_mask_or_nothing_stands_for_the_kept_secret(text):
    assert unmask_url(parse_url(PG, text), KEPT) == KEPT


def test_another_database_keeps_the_password():
    sent = parse_url(PG, "postgres://u:***@db/other?sslmode=require&sslpassword=***")
    assert unmask_url(sent, KEPT).text == "postgres://u:hunter2@db/other?sslmode=require&sslpassword=s3cr3t"


@pytest.mark.parametrize(
    "text",
    [
        "postgres://u:***@evil.example/usage?sslmode=require&sslpassword=***",
        "postgres://v:***@db/usage?sslmode=require&sslpassword=***",
        "postgres://u:***@db:5433/usage?sslmode=require&sslpassword=***",
        "postgres://u:***@db,evil/usage?sslmode=require&sslpassword=***",
        "postgresql://u:***@db/usage?sslmode=require&sslpassword=***",
        "postgres://u:***@db/usage?sslmode=disable&sslpassword=***",
        "postgres://u:new@db/usage?sslmode=disable&sslpassword=***",
    ],
)
def test_a_kept_password_never_goes_anywhere_else(text):
    with pytest.raises(MaskError, match="send the secret again"):
        unmask_url(parse_url(PG, text), KEPT)


def test_without_a_mask_another_host_gets_what_was_sent_and_nothing_more():
    sent = parse_url(PG, "postgres://u@evil.example/usage")
    assert unmask_url(sent, KEPT) == sent


def test_a_mask_for_nothing_is_refused():
    with pytest.raises(MaskError, match="send the secret itself"):
        unmask_url(parse_url(PG, "postgres://u:***@db/usage"), None)


SNOWFLAKE = {"account": "acme-1", "user": "u", "password": "hunter2", "warehouse": "w", "database": "d"}


@pytest.mark.parametrize("secret", [{"password": "***"}, {}])
def test_credentials_keep_their_secret(secret):
    sent = {**SNOWFLAKE, "warehouse": "other"}
    del sent["password"]
    assert unmask_credentials(Provider.SNOWFLAKE, {**sent, **secret}, SNOWFLAKE) == {**SNOWFLAKE, "warehouse": "other"}


@pytest.mark.parametrize("change", [{"account": "evil"}, {"host": "evil.example"}, {"user": "v"}, {"protocol": "http"}])
def test_credentials_that_go_elsewhere_need_their_secret(change):
    sent = {**SNOWFLAKE, **change, "password": "***"}
    with pytest.raises(MaskError, match=f"{next(iter(change))} changed"):
        unmask_credentials(Provider.SNOWFLAKE, sent, SNOWFLAKE)


def test_a_key_in_place_of_a_password_takes_the_password_away():
    sent = {**SNOWFLAKE, "private_key": "-----BEGIN"}
    del sent["password"]
    assert unmask_credentials(Provider.SNOWFLAKE, sent, SNOWFLAKE) == sent


def test_secrets_are_taken_out_of_a_drivers_words():
    address = Address(PG, url="postgres://u:p%40ssw%C3%B6rd@db/usage")
    assert hide_secrets("no: p@sswörd, p%40ssw%C3%B6rd", address) == "no: ***, ***"
