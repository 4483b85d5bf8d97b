"""Hostile pieces put together at random: a dangerous call in any place and any disguise is refused.

What is composed would run if it came through: so a query that is let through must not hold the call.
"""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loaders.errors import QueryError
from loaders.sql.query import Dialect, read_only

CALLS = {
    Dialect.POSTGRES: [
        "pg_sleep",
        "pg_read_file",
        "lo_import",
        "dblink",
        "set_config",
        "query_to_xml",
        "nextval",
        "pg_ls_dir",
    ],
    Dialect.MYSQL: ["sleep", "benchmark", "load_file", "get_lock", "master_pos_wait", "release_all_locks", "setval"],
    Dialect.BIGQUERY: ["external_query", "ds.remote", "ml.predict", "keys.new_keyset", "my_function"],
    Dialect.SNOWFLAKE: ["system$wait", "result_scan", "ai_complete", "external_one", "get_ddl", "build_stage_file_url"],
}
QUOTES = {Dialect.POSTGRES: '"', Dialect.MYSQL: "`", Dialect.BIGQUERY: "`", Dialect.SNOWFLAKE: '"'}
PLACES = [
    "SELECT {call}",
    "SELECT 1 AS id WHERE {call} IS NULL",
    "SELECT a.id FROM a JOIN b ON {call} = b.id",
    "SELECT * FROM (SELECT {call} AS x) AS q",
    "WITH q AS (SELECT {call} AS x) SELECT * FROM q",
    "WITH q AS (SELECT 1 AS x), r AS (SELECT x, {call} AS y FROM q) SELECT x FROM r",
    "SELECT 1 AS id UNION ALL SELECT {call}",
    "SELECT id FROM a GROUP BY {call}, id",
    "SELECT id FROM a GROUP BY id HAVING {call} IS NULL",
    "SELECT id FROM a ORDER BY {call}",
    "SELECT CASE WHEN true THEN {call} ELSE NULL END",
    "SELECT coalesce(NULL, {call})",
    "SELECT sum(1) OVER (PARTITION BY {call})",
    "SELECT id FROM a WHERE id IN (SELECT {call})",
    "SELECT EXISTS (SELECT 1 FROM a WHERE {call} = 1)",
    "SELECT (((({call}))))",
    "SELECT '--', {call}, 'a'",
    "SELECT 'it''s', {call}",
    "SELECT 1 /* a comment */, {call} -- another",
    "SELECT {call} AS `x`".replace("`", ""),
    "SELECT id, {{{{cursor}}}}, {call} FROM a WHERE id > {{{{last_run_at}}}}",
]
BLANKS = ["", " ", "\n", "\t", "  ", "/**/", "/* ( */", " -- x\n"]


@st.composite
def disguised(draw, dialect):
    """A call with another casing, in quotes, qualified, with blanks and comments before its parenthesis."""
    name = draw(st.sampled_from(CALLS[dialect]))
    parts = []
    for part in name.split("."):
        changed = "".join(one.upper() if draw(st.booleans()) else one for one in part)
        quoted = draw(st.booleans()) and dialect is not Dialect.SNOWFLAKE
        parts.append(f"{QUOTES[dialect]}{changed}{QUOTES[dialect]}" if quoted else changed)
    if dialect is Dialect.POSTGRES and draw(st.booleans()):
        parts.insert(0, draw(st.sampled_from(["pg_catalog", '"pg_catalog"', "public"])))
    dots = draw(st.sampled_from([".", " . ", " ./**/"])) if len(parts) > 1 else "."
    arguments = draw(st.sampled_from(["", "1", "'x'", "1, 2"]))
    return f"{dots.join(parts)}{draw(st.sampled_from(BLANKS))}({arguments})"


@pytest.mark.parametrize("dialect", list(Dialect))
@settings(max_examples=150)
@given(data=st.data())
def test_a_dangerous_call_is_refused_wherever_and_however_it_stands(dialect, data):
    """In any clause, below any nesting, beside strings and comments."""
    query = data.draw(st.sampled_from(PLACES)).format(call=data.draw(disguised(dialect)))
    with pytest.raises(QueryError):
        read_only(query, dialect)


WORST = {
    Dialect.POSTGRES: "pg_sleep",
    Dialect.MYSQL: "sleep",
    Dialect.BIGQUERY: "external_query",
    Dialect.SNOWFLAKE: "system$wait",
}
PIECES = st.one_of(
    st.sampled_from(
        [
            "'",
            '"',
            "`",
            "$$",
            "$a$",
            "\\",
            "--",
            "-- ",
            "#",
            "//",
            "/*",
            "*/",
            "/*!",
            ";",
            "(",
            ")",
            ",",
            "\n",
            " ",
            "''",
            '""',
        ]
    ),
    st.sampled_from(
        ["SELECT ", "1", " FROM t ", " UNION ", "E'", "r'", "N'", "{{cursor}}", "{{", "}}", "@", ":=", "INTO "]
    ),
    st.sampled_from(
        ["DROP TABLE t", "DELETE FROM t", "pg_sleep(1)", "sleep(1)", "SYSTEM$WAIT(1)", "EXTERNAL_QUERY('a', 'b')"]
    ),
)


@pytest.mark.slow
@pytest.mark.parametrize("dialect", list(Dialect))
@settings(max_examples=300)
@given(pieces=st.lists(PIECES, max_size=14))
def test_broken_text_is_refused_and_breaks_nothing(dialect, pieces):
    """Nothing but a QueryError; what is let through has nothing hostile outside of a string."""
    try:
        sent, _ = read_only("SELECT " + "".join(pieces), dialect).bound(lambda name: f"<{name}>")
    except QueryError:
        return
    outside = _without_strings(sent, dialect).lower()
    assert ";" not in outside
    assert not any(mark in outside for mark in ("/*!", ":="))
    assert not re.search(r"(?<![\w$])into\s", outside)
    assert not re.search(rf"(?<![\w$]){re.escape(WORST[dialect])}\s*\(", outside)


def _without_strings(text, dialect):
    """Cut strings and names out, by a reader of another kind than the guard's: one character after the other."""
    marks = {
        Dialect.POSTGRES: ("$$", "$a$", "'", '"'),
        Dialect.MYSQL: ("'", '"', "`"),
        Dialect.BIGQUERY: ("'''", '"""', "'", '"', "`"),
        Dialect.SNOWFLAKE: ("$$", "'", '"'),
    }[dialect]
    kept, mark, at, escapes = [], None, 0, False
    while at < len(text):
        if mark is None:
            mark = next((one for one in marks if text.startswith(one, at)), None)
            if mark is None:
                kept.append(text[at])
                at += 1
                continue
            before = text[max(0, at - 2) : at]
            e_string = before[-1:] in ("e", "E") and not (before[:-1].isalnum() or before[:-1] in ("_", "$"))
            plain = (
                mark in ("$$", "$a$") or (mark == "`" and dialect is Dialect.MYSQL) or mark == '"' == QUOTES[dialect]
            )
            escapes = e_string if dialect is Dialect.POSTGRES else not plain
            at += len(mark)
        elif escapes and text[at] == "\\":
            at += 2
        elif text.startswith(mark, at):
            at += len(mark)
            mark = None
        else:
            at += 1
    return "".join(kept)
