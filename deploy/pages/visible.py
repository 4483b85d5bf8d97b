"""Show whatever text an event carries, all of it, and as text.

The templates escape markup. What is left are characters that nobody sees and that change how others are read: controls
and those that turn the direction of writing. They are shown by their code point, so that two ids that differ look it.
"""

import unicodedata

from markupsafe import Markup, escape

SHORT_CHARACTERS_MAX = 140
LONG_CHARACTERS_MAX = 100_000

_UNSEEN = {"Cc", "Cf", "Zl", "Zp", "Cn", "Co", "Cs"}
_JOINERS = {"\u200c", "\u200d"}  # Emoji and several scripts are written with these.
_TAGS = range(0xE0020, 0xE0080)  # Flags of regions are.


def visible(text: str) -> Markup:
    """Give a text for a page: isolated from the direction of its surroundings, its unseen characters named."""
    if len(text) > LONG_CHARACTERS_MAX:
        return Markup("{}{}").format(visible(text[:LONG_CHARACTERS_MAX]), _rest(len(text) - LONG_CHARACTERS_MAX))
    if text.isprintable():
        return Markup("<bdi>{}</bdi>").format(text)
    return Markup("<bdi>{}</bdi>").format(Markup("").join(_shown(character) for character in text))


def short(text: str) -> Markup:
    """Give the beginning of a text, for lists."""
    if len(text) <= SHORT_CHARACTERS_MAX:
        return visible(text)
    return visible(text[: SHORT_CHARACTERS_MAX - 1] + "…")


def _shown(character: str) -> Markup:
    if unicodedata.category(character) in _UNSEEN and character not in _JOINERS and ord(character) not in _TAGS:
        if character == "\n":
            return Markup('<span class="unseen">↵</span>\n')
        return Markup('<span class="unseen">U+{:04X}</span>').format(ord(character))
    return escape(character)


def _rest(characters: int) -> Markup:
    return Markup('<span class="unseen">and {:,} characters more</span>').format(characters)
