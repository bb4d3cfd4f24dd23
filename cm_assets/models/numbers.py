"""What is counted of all videos of a home."""

from collections.abc import Mapping

from cm_assets.models.base import Model, Seconds
from cm_assets.models.status import State


class StageNumbers(Model):
    """One stage, over all videos.

    Attributes:
        waiting: videos that it is next for.
        running: videos that are in it.
        attempts: how many ended in each way: `done`, `transient`, `asked_to_wait`, `permanent`.
        seconds: that those attempts took, by the same words.
    """

    waiting: int = 0
    running: int = 0
    attempts: Mapping[str, int] = {}
    seconds: Mapping[str, Seconds] = {}


class Told(Model):
    """How one endpoint of notifications fares.

    Attributes:
        waiting: events that it is yet to be told.
        given_up: events that it was never told, of those that are remembered.
    """

    waiting: int = 0
    given_up: int = 0


class Numbers(Model):
    """A home in numbers.

    Attributes:
        states: videos by state.
        stages: by stage.
        oldest: seconds since the oldest of the videos came that wait for a free place; 0 if none does.
        dollars: that the language model has cost, as far as its prices are known.
        tokens: that it has read and written, by `prompt` and `completion`.
        engine: whether anybody makes videos.
        looked: seconds since whoever makes them last looked at what is wanted; None if nobody ever did.
        dollars_today: that the language model has cost since midnight UTC.
        budget_today: US dollars that it may cost in a day; None for any amount.
        told: by endpoint of notifications.
        step_places: how many steps of each queue the step workers can execute at once; empty where there is no broker.
    """

    states: Mapping[State, int]
    stages: Mapping[str, StageNumbers]
    oldest: Seconds
    dollars: float
    tokens: Mapping[str, int]
    engine: bool
    looked: Seconds | None = None
    dollars_today: float = 0.0
    budget_today: float | None = None
    told: Mapping[str, Told] = {}
    step_places: Mapping[str, int] = {}
