"""A webhook, signed as Standard Webhooks says (https://www.standardwebhooks.com)."""

import asyncio
import json
import logging
from datetime import datetime

import httpx
from standardwebhooks.webhooks import Webhook

from cm_assets.engines.notifying.endpoint import Refused
from cm_assets.engines.public_hosts import AsyncPublicHosts
from cm_assets.engines.retry_after import retry_after
from cm_assets.models.base import AskedToWait, PermanentFailure, Seconds, TransientFailure
from cm_assets.models.event import Event

LIMIT: Seconds = 15.0
"""Longest that one delivery may take, however slowly bytes come."""

_EVENTS_OWN = frozenset({400, 409, 413, 422})
"""Answers that are about this event and not about the endpoint."""

# They log addresses, and these hold tokens.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)


def post(url: str, secret: str, event: Event, now: datetime, *, private: bool = False, limit: Seconds = LIMIT) -> None:
    """Post an event. Redirects are not followed, and of an answer only its head is read.

    Args:
        url: where to.
        secret: `whsec_...`; several, apart by commas, sign side by side, which is how one is renewed.
        event: what to tell.
        now: the time of this attempt, UTC.
        private: whether its host may be one of our own network.
        limit: longest that it may take.

    Raises:
        AskedToWait: 429 or 503 with a time.
        NotPublic: its host is not, and need be.
        PermanentFailure: 410.
        Refused: an answer that is about this event alone.
        TransientFailure: any other answer than 2xx, or none.
    """
    body = json.dumps(event.body(), ensure_ascii=False, separators=(",", ":"))
    headers = {
        "content-type": "application/json",
        "user-agent": "cm_assets",
        "webhook-id": event.id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(Webhook(one).sign(event.id, now, body) for one in secrets_of(secret)),
    }
    try:
        answer = asyncio.run(_head(url, body.encode(), headers, limit, private=private))
    except TimeoutError:
        raise TransientFailure(f"gave no answer within {limit:g} s") from None
    # The errors' own words hold addresses.
    except httpx.ConnectError:
        raise TransientFailure("cannot be reached: no connection, or no trusted certificate") from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        raise TransientFailure("its address is no address") from None
    except httpx.HTTPError:
        raise TransientFailure("broke the connection off") from None
    _judge(answer)


def secrets_of(text: str) -> list[str]:
    """The secrets of a variable that may hold several."""
    return [one.strip() for one in text.split(",") if one.strip()]


def _judge(answer: httpx.Response) -> None:
    status = answer.status_code
    if answer.is_success:
        return
    if status == 410:
        raise PermanentFailure("answered 410: it is gone")
    if status in {429, 503} and (seconds := retry_after(answer.headers)) is not None:
        raise AskedToWait(f"answered {status}: come back in {seconds:g} s", seconds)
    if status in _EVENTS_OWN:
        raise Refused(f"answered {status}: it does not take this event")
    if answer.is_redirect:
        raise TransientFailure(f"answered {status}: redirects are not followed, give the final address")
    raise TransientFailure(f"answered {status}")


async def _head(url: str, body: bytes, headers: dict[str, str], limit: Seconds, *, private: bool) -> httpx.Response:
    """The head of the answer. Asynchronous for the sake of a limit on the whole, which a blocking client has not."""
    async with (
        asyncio.timeout(limit),
        httpx.AsyncClient(
            timeout=limit, follow_redirects=False, transport=AsyncPublicHosts(allow_private=private)
        ) as client,
        client.stream("POST", url, content=body, headers=headers) as answer,
    ):
        return answer
