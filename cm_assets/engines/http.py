"""What all clients of services over HTTP share: how errors and answers become failures of the three classes."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from cm_assets.engines.retry_after import retry_after
from cm_assets.models.base import AskedToWait, Failure, PermanentFailure, TransientFailure

PASSING = frozenset({408, 409, 425, 429})
"""Answers below 500 that another attempt may not get."""

# They log addresses, and these can hold keys.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)


@contextmanager
def connected(service: str) -> Iterator[None]:
    """Name the service in errors of the connection, without its address, which can hold a key.

    Raises:
        TransientFailure: it cannot be reached, or did not answer in time, or broke off.
        PermanentFailure: what is configured is no address.
    """
    try:
        yield
    except httpx.TimeoutException:
        raise TransientFailure(f"{service} did not answer in time") from None
    except httpx.ConnectError:
        raise TransientFailure(f"{service} cannot be reached: no connection, or no trusted certificate") from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        raise PermanentFailure(f"the address of {service} is no http address: check it") from None
    except httpx.HTTPError:
        raise TransientFailure(f"{service} broke the connection off") from None


def failure_of(answer: httpx.Response, service: str, said: str = "") -> Failure:
    """The failure that an answer other than 2xx is, as far as its status tells.

    Args:
        answer: with its head; the body is not read.
        service: its name for people.
        said: what the service says of it, for people; no secrets.
    """
    status = answer.status_code
    words = f": {' '.join(said.split())[:300]}" if said else ""
    if status in {429, 503} and (seconds := retry_after(answer.headers)) is not None:
        return AskedToWait(f"{service} asks to wait {seconds:g} s{words}", seconds)
    if status in PASSING or status >= 500:
        return TransientFailure(f"{service} answers {status}{words}")
    return PermanentFailure(f"{service} answers {status}{words}")


def passing(answer: httpx.Response, service: str, reason: str) -> Failure:
    """The failure that an answer is whose reason is not known to be final: waited for or tried again, never given up.

    Args:
        answer: with its head; the body is not read.
        service: its name for people.
        reason: the service's own word for it; shown if it is one.
    """
    failure = failure_of(answer, service, reason if is_word(reason) else "")
    return TransientFailure(str(failure)) if isinstance(failure, PermanentFailure) else failure


def is_word(reason: str) -> bool:
    """Whether a reason is a short identifier: whatever else a server sends is shown to nobody."""
    return reason.isascii() and reason.isidentifier() and len(reason) <= 80
