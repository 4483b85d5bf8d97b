"""Divide a query into words, names, strings, comments and placeholders, by the rules of its dialect.

What two readers could divide differently is refused instead of guessed at: a server that saw another end of a string
or of a comment than we did would run what we never looked at.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto

from loaders.errors import QueryError
from loaders.source import PARAMETERS
from loaders.sql.dialect import GRAMMARS, Dialect, Grammar


class Kind(Enum):
    """What a lexeme is."""

    WORD = auto()
    NAME = auto()
    STRING = auto()
    NUMBER = auto()
    MARK = auto()
    COMMENT = auto()
    PLACEHOLDER = auto()


@dataclass(frozen=True, slots=True)
class Lexeme:
    """A piece of the query, `[start, end)`; `text` is a name without its marks, or a placeholder's parameter."""

    kind: Kind
    text: str
    start: int
    end: int


_BLANK = re.compile(r"[ \t\n]+")
_WORD = re.compile(r"[^\W\d][\w$]*")
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|\d+(?:_\d+)*(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?")
_PLACEHOLDER = re.compile(r"\{\{([^{}]*)\}\}")
_QUOTED_PLACEHOLDER = re.compile(r"\{\{\s*(" + "|".join(PARAMETERS) + r")\s*\}\}")
_DOLLAR_QUOTE = re.compile(r"\$(?:[^\W\d]\w*)?\$")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def lexemes(query: str, dialect: Dialect) -> Iterator[Lexeme]:
    """Give the pieces of a query in order; between them are blanks alone.

    Raises:
        QueryError: it cannot be divided, or not without doubt; the message says where.
    """
    control = _CONTROL.search(query)
    if control is not None:
        found = f"the control character U+{ord(control[0]):04X}"
        raise refusal(query, control.start(), f"{found} cannot be in a query: write a blank, or chr() in a string")
    return _Reader(query, dialect).lexemes()


def refusal(query: str, at: int, reason: str) -> QueryError:
    """Give the error for what stands at an offset."""
    line, column = query.count("\n", 0, at) + 1, at - query.rfind("\n", 0, at)
    return QueryError(f"line {line}, column {column}: {reason}")


class _Reader:
    def __init__(self, query: str, dialect: Dialect) -> None:
        self._query = query
        self._dialect = dialect
        self._grammar: Grammar = GRAMMARS[dialect]

    def lexemes(self) -> Iterator[Lexeme]:
        at = 0
        steps: tuple[Callable[[int], Lexeme | None], ...] = (
            self._comment,
            self._placeholder,
            self._string,
            self._name,
            self._word,
            self._number,
            self._mark,
        )
        while True:
            blank = _BLANK.match(self._query, at)
            at = blank.end() if blank else at
            if at == len(self._query):
                return
            found = next(lexeme for lexeme in (step(at) for step in steps) if lexeme is not None)
            yield found
            at = found.end

    def _comment(self, at: int) -> Lexeme | None:
        query = self._query
        begun = next((mark for mark in self._grammar.line_comments if query.startswith(mark, at)), None)
        if begun is not None:
            after = query[at + 2 : at + 3]
            if begun == "--" and self._dialect is Dialect.MYSQL and after not in ("", " ", "\t", "\n"):
                raise refusal(query, at, "-- begins a comment only before a blank: write a blank after it, or - -")
            end = query.find("\n", at)
            return self._lexeme(Kind.COMMENT, at, len(query) if end < 0 else end)
        if query.startswith(("/*!", "/*M!"), at):
            raise refusal(query, at, "a comment that some servers execute (/*! … */) cannot be in a query")
        if query.startswith("/*+", at):
            raise refusal(query, at, "hints to the optimizer (/*+ … */) are not taken: leave them out")
        if not query.startswith("/*", at):
            return None
        depth, end = 1, at + 2
        while depth:
            mark = re.compile(r"/\*|\*/" if self._grammar.nested_comments else r"\*/").search(query, end)
            if mark is None:
                raise refusal(query, at, "the comment that begins here has no end: write */")
            depth += 1 if mark[0] == "/*" else -1
            end = mark.end()
        return self._lexeme(Kind.COMMENT, at, end)

    def _placeholder(self, at: int) -> Lexeme | None:
        if not self._query.startswith("{{", at):
            return None
        found = _PLACEHOLDER.match(self._query, at)
        name = found[1].strip() if found else ""
        if found is None or name not in PARAMETERS:
            known = " and ".join(f"{{{{{one}}}}}" for one in PARAMETERS)
            raise refusal(self._query, at, f"{found[0] if found else '{{'} is not known: there are {known}")
        return Lexeme(Kind.PLACEHOLDER, name, at, found.end())

    def _string(self, at: int) -> Lexeme | None:
        if self._grammar.dollar_quotes:
            dollar = _DOLLAR_QUOTE.match(self._query, at)
            if dollar is not None:
                end = self._query.find(dollar[0], dollar.end())
                return self._string_to(at, dollar.end(), end, len(dollar[0]))
        mark = next((one for one in self._grammar.strings if self._query.startswith(one, at)), None)
        if mark is None:
            return None
        escaped = (self._grammar.escaped and mark != "$$") or self._is_escape_string(at)
        doubled = self._grammar.doubled and mark != "$$"
        return self._string_to(at, at + len(mark), self._closing(at + len(mark), mark, escaped, doubled), len(mark))

    def _string_to(self, at: int, inside: int, end: int, mark_length: int) -> Lexeme:
        if end < 0:
            raise refusal(self._query, at, f"the string that begins here has no end: write {self._query[at:inside]}")
        self._refuse_placeholder(inside, end)
        lexeme = self._lexeme(Kind.STRING, at, end + mark_length)
        if self._is_escape_string(at) and re.compile(r"\s*'").match(self._query, lexeme.end):
            raise refusal(
                self._query, lexeme.end, "a string after an E'' string is read by its rules: write || between"
            )
        return lexeme

    def _is_escape_string(self, at: int) -> bool:
        """Tell PostgreSQL's E'…', whose prefix was read as a word before."""
        return self._dialect is Dialect.POSTGRES and bool(
            re.search(r"(?<![\w$])[eE]$", self._query[max(0, at - 2) : at])
        )

    def _closing(self, at: int, mark: str, escaped: bool, doubled: bool) -> int:
        while at < len(self._query):
            if escaped and self._query[at] == "\\":
                at += 2
            elif doubled and self._query.startswith(mark * 2, at):
                at += 2 * len(mark)
            elif self._query.startswith(mark, at):
                return at
            else:
                at += 1
        return -1

    def _name(self, at: int) -> Lexeme | None:
        mark = self._query[at]
        if mark not in self._grammar.names:
            return None
        end = self._closing(at + 1, mark, escaped=False, doubled=self._grammar.doubled)
        if end < 0:
            raise refusal(self._query, at, f"the name that begins here has no end: write {mark}")
        self._refuse_placeholder(at, end)
        text = self._query[at + 1 : end]
        if "\\" in text and self._dialect is Dialect.BIGQUERY:
            raise refusal(self._query, at, "a backslash cannot be in a name")
        return Lexeme(Kind.NAME, text.replace(mark * 2, mark), at, end + 1)

    def _refuse_placeholder(self, start: int, end: int) -> None:
        found = _QUOTED_PLACEHOLDER.search(self._query, start, end)
        if found is not None:
            raise refusal(self._query, found.start(), f"write {{{{{found[1]}}}}} without quotes: it is bound")

    def _word(self, at: int) -> Lexeme | None:
        found = _WORD.match(self._query, at)
        if found is None:
            return None
        if found[0] in ("U", "u") and self._query.startswith(("&'", '&"'), found.end()):
            raise refusal(self._query, at, "U&'…' and U&\"…\" cannot be in a query: write the characters themselves")
        return self._lexeme(Kind.WORD, at, found.end())

    def _number(self, at: int) -> Lexeme | None:
        found = _NUMBER.match(self._query, at)
        if found is None:
            return None
        if _WORD.match(self._query, found.end()):
            raise refusal(
                self._query, found.end(), "write a blank after a number, and quote a name that begins with one"
            )
        return self._lexeme(Kind.NUMBER, at, found.end())

    def _mark(self, at: int) -> Lexeme:
        mark = self._query[at]
        if not mark.isascii():
            raise refusal(
                self._query, at, f"{mark!r} (U+{ord(mark):04X}) can only be in quotes: write a blank or a mark"
            )
        if mark in self._grammar.refused_marks:
            raise refusal(self._query, at, f"{mark} cannot be in a query that only reads: {_REMEDIES[mark]}")
        if mark == "\\":
            raise refusal(self._query, at, "a backslash can only be in quotes")
        parameter = self._dialect is Dialect.POSTGRES and re.compile(r"\$\d").match(self._query, at)
        if parameter:
            raise refusal(self._query, at, "$1 is not known: write {{last_run_at}} or {{cursor}}")
        return self._lexeme(Kind.MARK, at, at + 1)

    def _lexeme(self, kind: Kind, start: int, end: int) -> Lexeme:
        return Lexeme(kind, self._query[start:end], start, end)


_REMEDIES = {
    "{": "parameters are written {{last_run_at}} and {{cursor}}",
    "}": "parameters are written {{last_run_at}} and {{cursor}}",
    "@": "variables and stages are not read",
    "?": "parameters are written {{last_run_at}} and {{cursor}}",
    "$": "parameters are written {{last_run_at}} and {{cursor}}",
}
