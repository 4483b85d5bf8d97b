"""What of a user's SQL is let through, and what is sent of it."""

import pytest

from loaders.errors import QueryError
from loaders.sql.query import Dialect, read_only

READING = {
    Dialect.POSTGRES: [
        """SELECT id, company_id AS "customerId", created_at AS timestamp FROM calls WHERE at > {{ last_run_at }};""",
        "SELECT xxx FROM t WHERE (updated_at + interval '60 minutes') > now()",
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM r WHERE n < 5) SELECT n, count(*) OVER () FROM r",
        "SELECT data->>'a', data #>> '{a,b}', doc ? 'a', doc @> '{}', EXTRACT(epoch FROM at), x::numeric(10,2) FROM t",
        "SELECT $x$ it's; {{ $x$ || E'a\\'; drop' FROM t, LATERAL (SELECT 1) q",
        "VALUES (1, 2, {{cursor}}::timestamptz)",
        "SELECT DISTINCT ON (id) id, array_agg(x ORDER BY y) FILTER (WHERE z) FROM t GROUP BY ROLLUP (1) LIMIT 5",
        "SELECT id FROM a UNION ALL (SELECT id FROM b EXCEPT SELECT id FROM c)",
    ],
    Dialect.MYSQL: [
        "SELECT id, `customerId`, date_format(at, '%Y') FROM t WHERE at > {{last_run_at}} - INTERVAL 5 MINUTE LIMIT 5",
        "SELECT b->'$.a', JSON_EXTRACT(b, '$.c'), 'it\\'s; drop', \"it's\" FROM t # a comment; with 'quotes",
        "SELECT GROUP_CONCAT(x ORDER BY y SEPARATOR '; ') FROM t FORCE INDEX (i) GROUP BY id WITH ROLLUP",
        "SELECT CONVERT_TZ(at, '+00:00', '+09:00'), CAST(x AS UNSIGNED), x DIV 2, IF(a, b, c) FROM t",
    ],
    Dialect.BIGQUERY: [
        "SELECT STRUCT(1 AS a), r'\\'', '''a'b''' FROM `p.d.t_*` WHERE _TABLE_SUFFIX > '2' AND at > {{last_run_at}}",
        "SELECT FORMAT_TIMESTAMP('%F', at) FROM d.t, UNNEST(tags) AS tag QUALIFY ROW_NUMBER() OVER (ORDER BY at) = 1",
        "SELECT SAFE.SUBSTR(a, 1, 2), NET.HOST(url), TIMESTAMP_SUB({{last_run_at}}, INTERVAL 1 HOUR) FROM d.t",
    ],
    Dialect.SNOWFLAKE: [
        "SELECT id, a:b.c::varchar, f.value FROM t, LATERAL FLATTEN(input => a:b) f WHERE $$it's$$ = 'b\\'c'",
        "SELECT seq, value FROM TABLE(SPLIT_TO_TABLE('a.b', '.')) WHERE id > {{cursor}} // a comment",
        "SELECT DATEADD(hour, -1, {{last_run_at}}) FROM db.s.t QUALIFY ROW_NUMBER() OVER (ORDER BY b) = 1",
    ],
}


@pytest.mark.parametrize(("dialect", "query"), [(dialect, query) for dialect in READING for query in READING[dialect]])
def test_what_only_reads_is_let_through(dialect, query):
    """Queries as users write them pass, and what is sent keeps everything but comments and the last semicolon."""
    sent, names = read_only(query, dialect).bound(lambda name: f"{{{{{name}}}}}")
    stripped = query.split(" # ")[0].split(" // ")[0].rstrip(";")
    assert sent.replace(" ", "").rstrip() == stripped.replace(" ", "").rstrip()
    assert len(names) == query.count("{{l") + query.count("{{ l") + query.count("{{c")


def test_placeholders_are_replaced_in_order_and_drivers_marks_are_escaped():
    """Each gets the style's mark; the user's own % is doubled where the driver wants that."""
    checked = read_only(
        "SELECT id % 2 FROM t WHERE a > {{ cursor }} AND b > {{last_run_at}} AND c < {{cursor}}", Dialect.POSTGRES
    )
    sent, names = checked.bound(lambda name: f"%({name})s", lambda text: text.replace("%", "%%"))
    assert names == ["cursor", "last_run_at", "cursor"]
    expected = "SELECT id %% 2 FROM t WHERE a > %(cursor)s AND b > %(last_run_at)s AND c < %(cursor)s"
    assert " ".join(sent.split()) == expected


def test_a_comment_is_not_sent():
    """Whatever it says: hints, placeholders, quotes."""
    sent, names = read_only("SELECT 1 -- {{cursor}} it's\n/* /* {{x}} */ ' */ AS id", Dialect.POSTGRES).bound(str)
    assert (sent.split(), names) == (["SELECT", "1", "AS", "id"], [])


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT '{{cursor}}'", "write {{cursor}} without quotes: it is bound"),
        ('SELECT "{{ last_run_at }}"', "write {{last_run_at}} without quotes: it is bound"),
        ("SELECT {{since}}", "{{since}} is not known: there are {{last_run_at}} and {{cursor}}"),
        ("SELECT id\nFROM t WHERE", "line 2, column"),
        ("", "the query is empty"),
        ("-- nothing\n;", "the query is empty"),
        ("SELECT 'a", "line 1, column 8: the string that begins here has no end"),
        ("SELECT /* a", "line 1, column 8: the comment that begins here has no end"),
        ("SELECT 1; SELECT 2", "one statement is allowed"),
        ("SELECT " + "(" * 5000, "cannot be understood"),
        ("SELECT '" + "a" * 60_000 + "'", "50000 are allowed"),
    ],
)
def test_a_refusal_says_what_and_where(query, words):
    """The message names the place and the remedy."""
    with pytest.raises(QueryError) as refused:
        read_only(query, Dialect.POSTGRES)
    assert words in str(refused.value)
