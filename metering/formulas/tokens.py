"""Cut the text of a formula into words, numbers, texts and signs, each with where it stands."""

import re
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

CHARACTERS_MAX = 2_000


class FormulaError(ValueError):
    """A text is no formula. `position` is the character at fault, counted from 0."""

    def __init__(self, position: int, message: str) -> None:
        super().__init__(f"at character {position + 1}: {message}")
        self.position = position


class Kind(Enum):
    """What a token is."""

    WORD = "word"
    NAME = "name"
    NUMBER = "number"
    TEXT = "text"
    SIGN = "sign"
    END = "end"


class Token(NamedTuple):
    """One token. `text` is what it says: of a quoted one what is between the quotes."""

    kind: Kind
    text: str
    position: int

    def is_word(self, *words: str) -> bool:
        """Tell whether it is one of these words, in upper case, however it was written."""
        return self.kind is Kind.WORD and self.text.upper() in words

    def is_sign(self, *signs: str) -> bool:
        """Tell whether it is one of these signs."""
        return self.kind is Kind.SIGN and self.text in signs

    @property
    def shown(self) -> str:
        """Say what it is to whoever wrote it."""
        return "the end" if self.kind is Kind.END else repr(self.text)[:40]


_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+)
      | (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
      | "(?P<name>(?:[^"]|"")+)" | `(?P<ticked>[^`]+)`
      | '(?P<text>(?:[^']|'')*)'
      | (?P<sign><=|>=|<>|!=|==|[-+*/()=<>,])""",
    re.VERBOSE,
)
_QUOTES = {"name": '"', "text": "'"}


def tokens(text: str) -> Iterator[Token]:
    """Yield the tokens in order, the end last.

    Raises:
        FormulaError: a character that begins no token, or a text that is too long.
    """
    if len(text) > CHARACTERS_MAX:
        raise FormulaError(CHARACTERS_MAX, f"a formula has at most {CHARACTERS_MAX} characters, this has {len(text)}")
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise FormulaError(at, _unknown(text[at]))
        kind = match.lastgroup or ""
        if kind != "space":
            said = match[kind]
            quote = _QUOTES.get(kind)
            said = said.replace(quote * 2, quote) if quote else said
            yield Token(Kind.NAME if kind == "ticked" else Kind(kind), said, at)
        at = match.end()
    yield Token(Kind.END, "", len(text))


def _unknown(character: str) -> str:
    if character in "\"'`":
        return f"{character} begins a text or name that does not end, or is empty"
    return f"{character!r} means nothing here: names with other characters stand in double quotes"
