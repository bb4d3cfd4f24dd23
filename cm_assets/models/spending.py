"""What calls of a language model take and cost. Money is in US dollars, exact."""

from decimal import ROUND_CEILING, Decimal
from typing import Annotated, Final

from pydantic import Field

from cm_assets.models.base import Model, Seconds

Usd = Decimal

Tokens = Annotated[int, Field(ge=0)]

NANO = Decimal("1e-9")
"""The finest amount that is counted: a tenth of a cent for a million tokens is one of these a token."""


class Usage(Model):
    """Tokens of a call.

    Attributes:
        prompt: all that were read, the cached ones included.
        completion: all that were written, those of its thoughts included.
        cached: those of the prompt that the endpoint had read before.
    """

    prompt: Tokens
    completion: Tokens
    cached: Tokens = 0


class Price(Model):
    """US dollars for a million tokens.

    Attributes:
        prompt: that are read.
        completion: that are written.
        cached: that are read again.
    """

    prompt: Usd
    completion: Usd
    cached: Usd

    def cost(self, usage: Usage) -> Usd:
        """What a call costs, rounded up to a billionth of a dollar."""
        cached = min(usage.cached, usage.prompt)
        millions = (usage.prompt - cached) * self.prompt + cached * self.cached + usage.completion * self.completion
        return (millions / 1_000_000).quantize(NANO, ROUND_CEILING)


class Reply(Model):
    """What a language model answered.

    Attributes:
        content: of its message.
        cut: whether it ends at a limit of tokens.
        usage: None if the endpoint does not count.
        seconds: from the question to the answer.
    """

    content: str
    cut: bool = False
    usage: Usage | None = None
    seconds: Seconds = 0.0


class Bill(Model):
    """What several calls took and cost.

    Attributes:
        calls: those that were answered.
        lost: those of which nobody saw an end; they count as if they had cost the most that they could.
        prompt, completion, cached: tokens.
        seconds: that the answers took, together.
        cost: of all of them; None if a model's price is not known.
    """

    calls: int = 0
    lost: int = 0
    prompt: Tokens = 0
    completion: Tokens = 0
    cached: Tokens = 0
    seconds: Seconds = 0.0
    cost: Usd | None = Usd(0)


NOTHING: Final = Bill()


def dollars(amount: Usd) -> str:
    """An amount for people, such as `$1.50` and `$0.0123`; small ones with the digits that they need."""
    digits = f"{amount:.{4 if amount == 0 or amount >= Decimal('0.0001') else 9}f}".rstrip("0")
    whole, _, part = digits.partition(".")
    return f"${whole}.{part:0<2}"
