"""Numbers as English says them: cardinals, ordinals, years, decimals, digits one by one.

The words come from the default voice's own package, which is installed anyway and needs no second to load.
"""

import functools
import re
from typing import Any

NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d*\.?\d+"
"""A number as it is written, with or without thousands separators; a regular expression without groups."""

_LONGEST = 15
"""Digits of the longest number read as a quantity: nobody says quadrillions, and such a number is an identifier."""

_MOST_DIGITS = 24
"""Digits read of an identifier: a longer one is noise, not speech."""


@functools.cache
def _english() -> Any:
    from hibari.g2p import numbers

    return numbers


def cardinal(value: int) -> str:
    """`21` as `twenty-one`. Numbers too long to be quantities are read digit by digit."""
    if len(str(abs(value))) > _LONGEST:
        return digits(str(abs(value)))
    return str(_english().cardinal(value)).replace(",", "").replace(" and ", " ")


def ordinal(value: int) -> str:
    """`21` as `twenty-first`."""
    if len(str(value)) > _LONGEST:
        return digits(str(value))
    return str(_english().ordinal(value)).replace(",", "").replace(" and ", " ")


def digits(text: str) -> str:
    """`007` as `zero zero seven`; what is no digit is left out."""
    return " ".join(_english().cardinal(int(digit)) for digit in re.findall(r"[0-9]", text)[:_MOST_DIGITS])


def year(value: int) -> str:
    """`1905` as `nineteen oh-five`, `2008` as `two thousand eight`, `1900` as `nineteen hundred`."""
    return cardinal(value) if value < 1000 else str(_english().year(value)).replace(" and ", " ")


def is_year(text: str) -> bool:
    """Whether four digits read best as a year."""
    return bool(re.fullmatch(r"1[1-9]\d\d|20\d\d", text))


def decimal(text: str) -> str:
    """`1,234.50` as `one thousand two hundred thirty-four point five zero`; `007` as digits."""
    whole, _, fraction = text.replace(",", "").partition(".")
    if len(whole) > 1 and whole.startswith("0"):
        said = digits(whole)
    else:
        # A string longer than the longest quantity must not become an int: the conversion is quadratic and limited.
        said = digits(whole) if len(whole) > _LONGEST else cardinal(int(whole or 0))
    return f"{said} point {digits(fraction)}" if fraction else said


def is_one(text: str) -> bool:
    """Whether the noun after the number is in the singular."""
    return text.replace(",", "") in {"1", "1.0"}


def plural_of_number(words: str) -> str:
    """`nineteen ninety` as `nineteen nineties`."""
    head, _, last = words.rpartition(" ")
    return f"{head} {last[:-1] + 'ies' if last.endswith('y') else last + 's'}".strip()
