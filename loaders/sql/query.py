"""Decide whether a user's SQL only reads, and where its parameters stand.

Two readers look at it: our own, which divides it (`lexemes.py`) and looks for what may be nowhere, and sqlglot, which
understands it. What is sent is the user's own text with comments blanked, so that neither a server's hints nor another
idea of where a comment ends counts; sqlglot is given the same text with the insides of strings made plain, so that
no difference in how strings are read counts either. What one of the two does not understand is refused.

This is the first of three walls: a session that only reads comes after it, and the user's own rights.
"""

import logging
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError

from loaders.errors import QueryError
from loaders.sql.dialect import Dialect
from loaders.sql.functions import (
    BIGQUERY_FUNCTIONS,
    GEOGRAPHY_PREFIX,
    SNOWFLAKE_FUNCTIONS,
    SNOWFLAKE_TABLE_FUNCTIONS,
    refused_function,
    refused_name,
)
from loaders.sql.lexemes import Kind, Lexeme, lexemes, refusal

__all__ = ["QUERY_CHARACTERS_MAX", "CheckedQuery", "Dialect", "read_only"]

QUERY_CHARACTERS_MAX = 50_000

logging.getLogger("sqlglot").setLevel(logging.CRITICAL)  # It would log users' queries that it does not understand.

_NAMED = (Kind.WORD, Kind.NAME)
_WRITING = (
    exp.Insert,
    exp.Update,
    exp.Delete,
    exp.Merge,
    exp.Create,
    exp.Drop,
    exp.Alter,
    exp.Command,
    exp.Copy,
    exp.Set,
    exp.Into,
    exp.Lock,
    exp.Use,
    exp.Pragma,
    exp.Transaction,
    exp.Commit,
    exp.Rollback,
    exp.Kill,
    exp.Show,
    exp.Describe,
    exp.LoadData,
    exp.TruncateTable,
    exp.Export,
    exp.Execute,
    exp.Declare,
    exp.Analyze,
    exp.Cache,
    exp.Uncache,
    exp.Refresh,
    exp.Attach,
    exp.Detach,
    exp.Grant,
    exp.Revoke,
    exp.Placeholder,
    exp.Parameter,
    exp.SessionParameter,
)
_READING = (exp.Select, exp.SetOperation, exp.Values, exp.Subquery)


@dataclass(frozen=True, slots=True)
class CheckedQuery:
    """A query that only reads, divided at its placeholders: `texts` has one piece more than `names`."""

    texts: Sequence[str]
    names: Sequence[str]

    def bound(
        self, style: Callable[[str], str], escape: Callable[[str], str] = lambda text: text
    ) -> tuple[str, list[str]]:
        """Give the text to send and the parameters' names in the order in which they stand.

        `style` gives what a driver takes in place of a parameter, such as `%(cursor)s`; `escape` doubles in the
        user's own text whatever the driver would take for one, such as `%`.
        """
        pieces = [escape(self.texts[0])]
        for name, text in zip(self.names, self.texts[1:], strict=True):
            pieces += (" ", style(name), " ", escape(text))
        return "".join(pieces), list(self.names)

    def refuse_without(self, parameters: Collection[str]) -> None:
        """Refuse a query that names a parameter which has no value.

        Raises:
            QueryError: the message names it.
        """
        missing = next((name for name in self.names if name not in parameters), None)
        if missing is not None:
            raise QueryError(f"{{{{{missing}}}}} has no value here: set the loader's cursor column and its start")


def read_only(query: str, dialect: Dialect) -> CheckedQuery:
    """Take a query that is one reading statement.

    Raises:
        QueryError: it is not, or it cannot be understood; the message names what and where.
    """
    if len(query) > QUERY_CHARACTERS_MAX:
        raise QueryError(f"the query has {len(query)} characters, and {QUERY_CHARACTERS_MAX} are allowed: use a view")
    query = query.replace("\r\n", "\n")
    pieces = list(lexemes(query, dialect))
    sent = _without(query, [piece for piece in pieces if piece.kind is Kind.COMMENT])
    pieces = [piece for piece in pieces if piece.kind is not Kind.COMMENT]
    while pieces and pieces[-1].text == ";" and pieces[-1].kind is Kind.MARK:
        sent = sent[: pieces.pop().start].rstrip()
    if not pieces:
        raise QueryError("the query is empty: write a SELECT that returns id, customerId and timestamp")
    for place, piece in enumerate(pieces):
        _judge(query, pieces, place, piece, dialect)
    _judge_meaning(_understood(query, _plain(sent, pieces), dialect), dialect)
    return _divided(sent, pieces)


def _judge(query: str, pieces: list[Lexeme], place: int, piece: Lexeme, dialect: Dialect) -> None:
    """Refuse what may be nowhere in a reading query, whatever stands around it."""
    following = ["" if one.kind is Kind.NAME else one.text.lower() for one in pieces[place + 1 : place + 3]] + ["", ""]
    if piece.kind is Kind.MARK:
        _judge_mark(query, piece, following, dialect)
    if piece.kind is Kind.WORD:
        _judge_word(query, piece, following, dialect)
    if piece.kind in _NAMED and following[0] != ".":
        _judge_name(query, piece, _chain(pieces, place), following, dialect)


def _judge_mark(query: str, piece: Lexeme, following: list[str], dialect: Dialect) -> None:
    if piece.text == ";":
        raise refusal(query, piece.start, "one statement is allowed: leave out what comes after the semicolon")
    if piece.text == ":" and following[0] == "=":
        raise refusal(query, piece.start, "assignments (:=) cannot be in a query that only reads")
    if dialect is Dialect.SNOWFLAKE and query.startswith("->>", piece.start):
        raise refusal(query, piece.start, "->> joins two statements, and one is allowed")


def _judge_name(query: str, piece: Lexeme, chain: list[str], following: list[str], dialect: Dialect) -> None:
    name = ".".join(chain)
    if following[0] != "(":
        if refused_name(chain, dialect):
            raise refusal(query, piece.start, f"{name} is not allowed in a query that only reads")
        return
    if not piece.text.isascii():
        raise refusal(query, piece.start, f"the function {name} cannot be called: its name is not ASCII")
    if refused_function(chain, dialect):
        raise refusal(query, piece.start, f"the function {name} is not allowed in a query that only reads")
    if dialect is Dialect.SNOWFLAKE and name == "table" and following[1] not in SNOWFLAKE_TABLE_FUNCTIONS:
        known = ", ".join(sorted(SNOWFLAKE_TABLE_FUNCTIONS))
        raise refusal(query, piece.start, f"TABLE({following[1]}…) is not allowed: TABLE(…) takes {known}")


def _judge_word(query: str, piece: Lexeme, following: list[str], dialect: Dialect) -> None:
    name = piece.text.lower()
    if name == "into":
        raise refusal(query, piece.start, "INTO writes: leave it out")
    if name == "for" and following[0] in ("update", "share", "no", "key"):
        raise refusal(query, piece.start, f"FOR {following[0].upper()} locks rows: leave it out")
    if name == "lock" and following[0] == "in":
        raise refusal(query, piece.start, "LOCK IN SHARE MODE locks rows: leave it out")
    if name == "procedure" and dialect is Dialect.MYSQL:
        raise refusal(query, piece.start, "PROCEDURE cannot be in a query that only reads")
    if name in ("next", "previous") and following[0] == "value":
        raise refusal(query, piece.start, "a sequence cannot be advanced by a query that only reads")


def _chain(pieces: list[Lexeme], place: int) -> list[str]:
    """Give the name that ends here with what it is qualified by, in lower case."""
    chain = [pieces[place].text.lower()]
    while (
        place >= 2
        and pieces[place - 1].text == "."
        and pieces[place - 1].kind is Kind.MARK
        and pieces[place - 2].kind in _NAMED
    ):
        place -= 2
        chain[:0] = pieces[place].text.lower().split(".")
    return [part for name in chain for part in name.split(".")]


def _without(query: str, pieces: list[Lexeme]) -> str:
    """Blank pieces; everything keeps its place."""
    for piece in pieces:
        query = query[: piece.start] + re.sub(r"[^\n]", " ", piece.text) + query[piece.end :]
    return query


def _plain(sent: str, pieces: list[Lexeme]) -> str:
    """Give the text that sqlglot reads: no escapes within strings, a number for a parameter, all in its place."""
    plain = list(sent)
    for piece in pieces:
        length = piece.end - piece.start
        if piece.kind is Kind.PLACEHOLDER:
            plain[piece.start : piece.end] = " 0".ljust(length)
        elif piece.kind is Kind.STRING:
            mark = "'" if length >= 2 else ""
            inside = re.sub(r"[^\w .:,/%+*$\[\]<>=()\n-]", "x", sent[piece.start + 1 : piece.end - 1])
            plain[piece.start : piece.end] = f"{mark}{inside}{mark}"
            _blank_prefix(plain, piece.start)
        elif piece.kind is Kind.NAME:
            plain[piece.start + 1 : piece.end - 1] = re.sub(r"[\"'`\\]", "x", sent[piece.start + 1 : piece.end - 1])
    return "".join(plain)


def _blank_prefix(plain: list[str], at: int) -> None:
    """Take away the prefix of an E'…', r'…', or b'…' string."""
    prefix = re.search(r"(?<![\w$])(?:[eErRbBxXnN]|[rR][bB]|[bB][rR])$", "".join(plain[max(0, at - 3) : at]))
    if prefix is not None:
        plain[at - len(prefix[0]) : at] = " " * len(prefix[0])


def _understood(query: str, plain: str, dialect: Dialect) -> exp.Expr:
    try:
        statements = sqlglot.parse(plain, read=dialect.value)
    except ParseError as error:
        raise QueryError(_parse_message(error)) from None
    except (SqlglotError, RecursionError, ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise QueryError(f"the query cannot be understood: {reason}") from None
    if len(statements) != 1 or statements[0] is None:
        raise QueryError(f"the query has {len(statements)} statements, and one is allowed")
    statement = statements[0]
    if not isinstance(statement, _READING):
        words = " ".join(query.split()[:2])
        raise QueryError(f"the query is no SELECT but begins with {words[:40]}: only SELECT, WITH and VALUES are run")
    return statement


def _parse_message(error: ParseError) -> str:
    if not error.errors:
        return f"the query cannot be understood: {error}"
    first = error.errors[0]
    said = re.sub(r"<Token .*?text: (.*?), line: .*?>", r"\1", first["description"])
    near = f" near {first['highlight']!r}" if first.get("highlight") else ""
    return f"line {first['line']}, column {first['col']}: the query cannot be understood{near}: {said}"


def _judge_meaning(statement: exp.Expr, dialect: Dialect) -> None:
    for node in statement.walk():
        if isinstance(node, _WRITING):
            raise QueryError(f"{type(node).__name__.upper()} cannot be in a query that only reads: leave it out")
        if isinstance(node, exp.Anonymous) and dialect in (Dialect.BIGQUERY, Dialect.SNOWFLAKE):
            known = (
                BIGQUERY_FUNCTIONS if dialect is Dialect.BIGQUERY else SNOWFLAKE_FUNCTIONS | SNOWFLAKE_TABLE_FUNCTIONS
            )
            name = node.name.lower()
            if name not in known and not name.startswith(GEOGRAPHY_PREFIX):
                raise QueryError(
                    f"the function {node.name} is none of those that are allowed: use it in a view and select from that"
                )


def _divided(sent: str, pieces: list[Lexeme]) -> CheckedQuery:
    texts, names, at = [], [], 0
    for piece in pieces:
        if piece.kind is Kind.PLACEHOLDER:
            texts.append(sent[at : piece.start])
            names.append(piece.text)
            at = piece.end
    return CheckedQuery((*texts, sent[at:]), tuple(names))
