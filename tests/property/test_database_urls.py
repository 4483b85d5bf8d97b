"""What is masked and judged in a database's URL is what others read there, whatever is written."""

from urllib.parse import unquote, urlsplit

from hypothesis import example, given, settings
from hypothesis import strategies as st
from psycopg import conninfo

from loaders.connections.secret_parts import mask_url
from loaders.connections.urls import UrlError, parse_url
from loaders.provider import Provider

NOISE = st.sampled_from([*":@/?#&=%,;[]\\ .-*", "%40", "%2F", "%3A", "é", "pass", "5432", ""])
NOISY = st.lists(NOISE, max_size=3).map("".join)
HOSTS = st.lists(
    st.sampled_from(["h1", "db.example", "[::1]", "127.0.0.1", "h1:5432", "[::1]:1", "1.2.3.4:65535"]),
    min_size=1,
    max_size=3,
).map(",".join)
PARAMETERS = st.sampled_from(
    ["", "?sslmode=require", "?sslmode=require&password=hush", "?application_name=a&sslpassword=", "?host=evil"]
)
TAILS = st.tuples(
    st.sampled_from(["u:pass", "u", "u:", "", "u:p%40ss"]),
    NOISY,
    st.sampled_from(["@", "", "@@"]),
    HOSTS,
    NOISY,
    st.sampled_from(["/db", "", "/", "/db/x"]),
    NOISY,
    PARAMETERS,
    NOISY,
).map("".join)


def accepted(text):
    try:
        return parse_url(Provider.POSTGRES, text)
    except UrlError:
        return None


@settings(max_examples=400)
@given(TAILS)
@example("u:p@h1:5432/db?sslmode=require")
def test_what_is_accepted_is_read_alike_by_everybody(tail):
    url = accepted(f"postgres://{tail}")
    if url is None:
        return
    assert url.text == f"postgres://{tail}".removesuffix("?")
    theirs = urlsplit(url.text)
    assert (theirs.username, theirs.password, theirs.fragment) == (url.user, url.password, "")
    assert theirs.netloc.rpartition("@")[2] == url.hosts
    libpq = conninfo.conninfo_to_dict(url.text)
    hosts = [host.rpartition("]")[0].lstrip("[") or host.partition(":")[0] for host in url.hosts.split(",")]
    assert libpq["host"] == ",".join(hosts)
    assert libpq.get("password", "") == unquote(url.password or "")


@given(st.text(st.characters(exclude_characters="\0"), min_size=4), st.sampled_from(["postgres", "mysql", "mongodb"]))
def test_a_password_is_never_in_what_is_shown_nor_in_what_is_refused(password, scheme):
    secret = f"~{password}~"
    try:
        url = parse_url(Provider(scheme), f"{scheme}://u:{secret}@db.example/usage?sslpassword={secret}")
        told = mask_url(url).text + repr(url)
    except UrlError as error:
        told = str(error)
    assert secret not in told
