"""How written quantities are said: money, units, ranges, dates, times, fractions, ordinals, decades, phone numbers."""

# ruff: noqa: RUF001 - typographic signs are what is read here

import re
from collections.abc import Callable

from cm_assets.engines.speech import lexicon, numbers

_NUMBER = numbers.NUMBER
_UNIT = "|".join(sorted(map(re.escape, lexicon.UNITS), key=len, reverse=True))
_CURRENCY = "|".join(sorted(map(re.escape, lexicon.CURRENCIES), key=len, reverse=True))
_SIGN = "".join(map(re.escape, lexicon.BEFORE_NUMBER))
_PHONE = re.compile(r"(?:\+?\d{1,3}[-.])?\(?\d{3}\)?[-.]\d{3}[-.]\d{4}|\d{3}-\d{4}")
_TIME = re.compile(r"(\d{1,2}):([0-5]\d)(?::([0-5]\d))?([aApP])?\.?[mM]?")
_CLOCK = re.compile(r"(\d{1,2})([aApP])\.?[mM]")
_RATIO = re.compile(r"(\d{1,4}):(\d{1,4})")
_ISO_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
_SLASH_DATE = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4}|\d{2})")
_FRACTION = re.compile(r"(\d{1,2})[/⁄](\d{1,2})")
_ORDINAL = re.compile(r"([\d,]{1,15})(?:st|nd|rd|th)", re.IGNORECASE)
_DECADE = re.compile(r"(\d{0,3}0)'?s")
_DOTTED = re.compile(r"v?\d+(?:\.\d+){2,}")
_QUANTITY = re.compile(rf"([{_SIGN}]?)({_NUMBER})({_UNIT})?(\+?)")
_RANGE = re.compile(rf"({_CURRENCY})?({_NUMBER})[-–—](?:{_CURRENCY})?({_NUMBER})({_UNIT}|[kmb]|bn)?")
_MIXED_NUMBER = re.compile(r"(\d*)([½¼¾⅓⅔])")
_FRACTION_NAMES = {2: "half", 4: "quarter"}
VULGAR = {"½": "one half", "¼": "one quarter", "¾": "three quarters", "⅓": "one third", "⅔": "two thirds"}
_LOOKUPS = {"24/7": "twenty-four seven", "9/11": "nine eleven"}
_MONEY = re.compile(rf"([{_SIGN}]?)({_CURRENCY})({_NUMBER})(bn|tn|mn|mm|[kKmMbBtT])?(\+?)")


def quantity(core: str, *, plain: bool = False) -> str:
    """A number in any of its written forms, with its sign and unit; empty if it is none.

    Args:
        core: the word, without the punctuation around it.
        plain: never a year, since a unit or a magnitude follows.
    """
    if core in _LOOKUPS:
        return _LOOKUPS[core]
    for pattern, say in _FORMS:
        if match := pattern.fullmatch(core):
            return say(match)
    if match := _QUANTITY.fullmatch(core):
        return _quantity(match, plain=plain)
    return ""


def money(core: str, magnitude: str = "") -> str:
    """`$3.5M` as `three point five million dollars`; empty if it is no amount of money.

    Args:
        core: the word.
        magnitude: `million`, if it follows as a word of its own: the currency is then left for the caller to add.
    """
    match = _MONEY.fullmatch(core)
    if not match:
        return ""
    sign, symbol, amount, joined, plus = match.groups()
    one, many, cent, cents = lexicon.CURRENCIES[symbol]
    before, more = f"{lexicon.BEFORE_NUMBER[sign]} " if sign else "", " plus" if plus else ""
    if joined:
        return f"{before}{numbers.decimal(amount)} {lexicon.MAGNITUDES[joined.lower()]} {many}{more}"
    if magnitude:
        return before + numbers.decimal(amount)
    whole, _, fraction = amount.partition(".")
    unit = one if numbers.is_one(whole if len(fraction) == 2 else amount) else many
    if len(fraction) != 2:
        return f"{before}{numbers.decimal(amount)} {unit}{more}"
    major = f"{numbers.decimal(whole or '0')} {unit}"
    minor = f"{numbers.cardinal(int(fraction))} {cent if int(fraction) == 1 else cents}"
    if int(fraction) == 0:
        return before + major + more
    return f"{before}{major + ' and ' if whole.strip('0,') else ''}{minor}{more}"


def currency(core: str) -> str:
    """The plural of an amount's currency, as in `dollars`; empty if it is no amount of money."""
    match = _MONEY.fullmatch(core)
    return lexicon.CURRENCIES[match.group(2)][1] + (" plus" if match.group(5) else "") if match else ""


def _quantity(match: re.Match[str], *, plain: bool) -> str:
    sign, amount, unit, plus = match.groups()
    if unit == "K" and amount in {"4", "8"}:
        said = f"{numbers.decimal(amount)} K"  # screens, far more often than thousands
    elif unit == "s" and len(amount) > 2:
        said = _decade(amount)
    elif unit:
        said = f"{numbers.decimal(amount)} {lexicon.UNITS[unit][0 if numbers.is_one(amount) else 1]}"
    elif numbers.is_year(amount) and not plain and not sign:
        said = numbers.year(int(amount))
    else:
        said = numbers.decimal(amount)
    before = f"{lexicon.BEFORE_NUMBER[sign]} " if sign else ""
    return f"{before}{said}{' plus' if plus else ''}"


def _range(match: re.Match[str]) -> str:
    symbol, low, high, unit = match.groups()
    years = numbers.is_year(low) and not unit and not symbol
    first = numbers.year(int(low)) if years else numbers.decimal(low)
    second = numbers.year(int(high)) if years and numbers.is_year(high) else numbers.decimal(high)
    if unit:
        money = symbol and unit.lower() in lexicon.MAGNITUDES
        second += f" {lexicon.MAGNITUDES[unit.lower()] if money else lexicon.UNITS.get(unit, (unit, unit))[1]}"
    return f"{first} to {second} {lexicon.CURRENCIES[symbol][1] if symbol else ''}"


def _date(year: int, month: int, day: int) -> str:
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return f"{numbers.cardinal(year)}, {numbers.cardinal(month)}, {numbers.cardinal(day)}"
    return f"{lexicon.MONTH_NAMES[month - 1]} {numbers.ordinal(day)}, {numbers.year(year)}"


def _time(match: re.Match[str]) -> str:
    hour, minute, second, half = match.groups()
    said = numbers.cardinal(int(hour))
    if minute == "00":
        said += "" if half or second else (" o'clock" if 0 < int(hour) <= 12 else " hundred")
    else:
        said += f" oh {numbers.cardinal(int(minute))}" if minute[0] == "0" else f" {numbers.cardinal(int(minute))}"
    if second:
        said += f" and {numbers.cardinal(int(second))} seconds"
    return f"{said} {half.upper()}.M" if half else said


def _fraction(top: int, bottom: int) -> str:
    if not 0 < top < bottom <= 20:
        return f"{numbers.cardinal(top)} {numbers.cardinal(bottom)}"
    name = _FRACTION_NAMES.get(bottom) or numbers.ordinal(bottom)
    if top == 1:
        return f"one {name}"
    return f"{numbers.cardinal(top)} {'halves' if bottom == 2 else name + 's'}"


def _decade(digits: str) -> str:
    said = numbers.year(int(digits)) if numbers.is_year(digits) else numbers.decimal(digits)
    return numbers.plural_of_number(said)


def _mixed_number(match: re.Match[str]) -> str:
    part = VULGAR[match[2]]
    return f"{numbers.decimal(match[1])} and {part.replace('one ', 'a ')}" if match[1] else part


def _iso_date(match: re.Match[str]) -> str:
    return _date(int(match[1]), int(match[2]), int(match[3]))


def _slash_date(match: re.Match[str]) -> str:
    first, second = int(match[1]), int(match[2])
    year = int(match[3]) if len(match[3]) == 4 else 2000 + int(match[3])
    return _date(year, *((first, second) if first <= 12 else (second, first)))


def _dotted(match: re.Match[str]) -> str:
    parts = match.group().strip("v").split(".")
    joined = (" dot " if len(parts) > 3 else " point ").join(map(numbers.decimal, parts))
    return f"version {joined}" if match.group().startswith("v") else joined


_FORMS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (_MIXED_NUMBER, _mixed_number),
    (_PHONE, lambda match: ", ".join(map(numbers.digits, re.findall(r"\d+", match.group())))),
    (_ISO_DATE, _iso_date),
    (_SLASH_DATE, _slash_date),
    (_FRACTION, lambda match: _fraction(int(match[1]), int(match[2]))),
    (_TIME, _time),
    (_CLOCK, lambda match: f"{numbers.cardinal(int(match[1]))} {match[2].upper()}.M"),
    (_RATIO, lambda match: f"{numbers.decimal(match[1])} to {numbers.decimal(match[2])}"),
    (_ORDINAL, lambda match: numbers.ordinal(int(match[1].replace(",", "") or 0))),
    (_DECADE, lambda match: _decade(match[1])),
    (_DOTTED, _dotted),
    (_RANGE, _range),
)
"""The first that fits is said."""
