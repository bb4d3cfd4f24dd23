"""Whether the server lives, and whether it can take requests."""

from fastapi import APIRouter, Response

from cm_assets.models.base import Model
from cm_assets.web.house import HouseOf
from cm_assets.web.problems import Refusal, described

router = APIRouter(tags=["health"])


class Ready(Model):
    """That requests are taken.

    Attributes:
        engine: whether somebody makes videos of them now; else they wait.
        full: why there is no room for another video; empty if there is.
    """

    engine: bool
    full: str


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz", status_code=204)
def healthz() -> Response:
    """It lives."""
    return Response(status_code=204)


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", response_model=Ready, responses=described(503))
def readyz(house: HouseOf) -> Ready:
    """It takes requests: its database answers."""
    import sqlalchemy as sa

    try:
        house.client.database.count_open()
    except sa.exc.SQLAlchemyError:
        raise Refusal(503, "the database does not answer") from None
    return Ready(engine=house.works(), full=house.client.full())
