"""What well-known language models cost. Prices change: `CM_PRICES` comes first."""

import re
from collections.abc import Mapping
from decimal import Decimal

from cm_assets.models.spending import Price

AS_OF = "March 2026"

_LISTED: Mapping[str, tuple[str, str, str]] = {
    # US dollars for a million tokens: read, written, read again (openai.com/api/pricing, standard tier).
    "gpt-5.1": ("1.25", "10.00", "0.125"),
    "gpt-5": ("1.25", "10.00", "0.125"),
    "gpt-5-mini": ("0.25", "2.00", "0.025"),
    "gpt-5-nano": ("0.05", "0.40", "0.005"),
    "gpt-4.1": ("2.00", "8.00", "0.50"),
    "gpt-4.1-mini": ("0.40", "1.60", "0.10"),
    "gpt-4.1-nano": ("0.10", "0.40", "0.025"),
    "gpt-4o": ("2.50", "10.00", "1.25"),
    "gpt-4o-mini": ("0.15", "0.60", "0.075"),
    "o4-mini": ("1.10", "4.40", "0.275"),
}


def price_of(model: str, own: Mapping[str, tuple[Decimal, ...]]) -> Price | None:
    """The price of a model; None if it is not known.

    Args:
        model: its name; a dated one, such as `gpt-5-mini-2025-08-07`, costs what the one without a date does.
        own: prices from the settings, by model: read, written, and read again where that is cheaper.
    """
    if model in own:
        prompt, completion, *cached = own[model]
        return Price(prompt=prompt, completion=completion, cached=cached[0] if cached else prompt)
    listed = _LISTED.get(model) or _LISTED.get(re.sub(r"-\d{4}-\d{2}-\d{2}$", "", model))
    if listed is None:
        return None
    prompt, completion, again = map(Decimal, listed)
    return Price(prompt=prompt, completion=completion, cached=again)
