"""What the handlers share: the client, the doorman, and what both need to know of the moment."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from fastapi import Depends, Request
from prometheus_client import CollectorRegistry

from cm_assets.client import Client
from cm_assets.lifecycle.catalogue import Catalogue
from cm_assets.models.numbers import Numbers
from cm_assets.models.status import State
from cm_assets.models.token import Scope
from cm_assets.orchestration import home as homes
from cm_assets.partitions import VideoId
from cm_assets.settings import Settings
from cm_assets.storage.rates import Rates
from cm_assets.storage.tokens import Tokens
from cm_assets.web.pen import Pen
from cm_assets.web.problems import Refusal
from cm_assets.web.recent import Recent
from cm_assets.web.security import Caller, Doorman, signed

MOST_TO_REVIEW = 200
"""Videos that can be reviewed one after the other; then come the next ones."""


class House:
    """A home, as the handlers see it.

    Attributes:
        answers: how long answers took.
        streams: how many follow a video now.
        arriving: how many hand a file in now.
        examining: held while a file is looked through, which takes a core or two.
        pen: of all who ask for videos.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.client = Client(settings)
        self.tokens = Tokens(self.client.database)
        self.doorman = Doorman(self.tokens, settings.serve_hosts)
        url = settings.database_url or f"sqlite:///{settings.rates_file}"
        self.rates = Rates(url, settings.rates)
        self.streams = 0
        self.arriving = 0
        self.examining = asyncio.Semaphore(2)
        self.pen = Pen(self.client.database)
        self.catalogue: Recent[Catalogue] = Recent(self.client.catalogue, 2.0)
        self.answers = CollectorRegistry()
        self.numbers: Recent[Numbers] = Recent(self.client.numbers, 5.0)
        self.works: Recent[bool] = Recent(lambda: homes.somebody_works(settings, self.client.database), 1.0)
        self.waiting: Recent[int] = Recent(self.client.database.count_open, 1.0)
        self.counts: Recent[Mapping[State, int]] = Recent(self.client.counts, 1.5)
        self.to_review: Recent[Sequence[VideoId]] = Recent(self._to_review, 1.5)

    def _to_review(self) -> Sequence[VideoId]:
        """The videos that wait for somebody, the one that came first before the others."""
        found = self.client.videos(states=["awaiting_review"], limit=MOST_TO_REVIEW)
        return tuple(one.id for one in reversed(found))


def house_of(request: Request) -> House:
    """The house of the app that a request came to."""
    house: House = request.app.state.house
    return house


HouseOf = Annotated[House, Depends(house_of)]


def _caller(request: Request, house: HouseOf) -> Caller:
    return house.doorman.caller(request)


AnyCaller = Annotated[Caller, Depends(_caller)]


def _with(scope: Scope) -> Callable[..., Caller]:
    def caller(known: AnyCaller) -> Caller:
        if not known.may(scope):
            raise Refusal(403, f"this token is not good for that: it takes the scope {scope}")
        return known

    return caller


async def _submitter(request: Request, house: HouseOf) -> Caller:
    known = await signed(request) or house.doorman.caller(request)
    if not known.may("submit"):
        raise Refusal(403, "this token is not good for that: it takes the scope submit")
    return known


Submitter: Any = Annotated[Caller, Depends(_submitter)]
MaySubmit: Any = Annotated[Caller, Depends(_with("submit"))]
MayReview: Any = Annotated[Caller, Depends(_with("review"))]
MayAdmin: Any = Annotated[Caller, Depends(_with("admin"))]
