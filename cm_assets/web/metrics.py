"""`/metrics`, for Prometheus: counted when it is asked for, from the database, whoever does the work."""

import logging
import time
from collections.abc import Iterator

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cm_assets.models.disk import DiskUse
from cm_assets.models.numbers import Numbers
from cm_assets.models.status import STATES
from cm_assets.partitions import is_video_id
from cm_assets.web.house import AnyCaller, HouseOf
from cm_assets.web.problems import described

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Seconds."""

UNLOGGED = frozenset({"/healthz", "/readyz", "/metrics", "/static", "/live", "/board/{id}/live"})
"""Routes that are asked for by machines and pages, again and again."""

log = logging.getLogger("cm_assets.access")

router = APIRouter(tags=["health"])


@router.get("/metrics", response_class=Response, responses=described(401))
def metrics(_caller: AnyCaller, house: HouseOf) -> Response:
    """Queue depth, durations, failures and cost in Prometheus's text format."""
    registry = CollectorRegistry()
    registry.register(_Home(house.numbers(), house.client.disk()))
    content = generate_latest(registry) + generate_latest(house.answers)
    return Response(content, media_type=CONTENT_TYPE_LATEST)


class Stopwatch:
    """Measures how long answers take until their end, by route."""

    def __init__(self, app: ASGIApp, registry: CollectorRegistry) -> None:
        self._app = app
        self._seconds = Histogram(
            "cm_http_request_seconds",
            "How long answers took.",
            ["method", "route", "status"],
            registry=registry,
            buckets=BUCKETS,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and measure."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            # What leads nowhere is anybody's text.
            route = getattr(scope.get("route"), "path", "")
            method = scope["method"] if route else ""
            seconds = time.monotonic() - began
            self._seconds.labels(method, route, str(status)).observe(seconds)
            # Those that ask all the time are in the numbers.
            if route not in UNLOGGED or status >= 500:
                video = str(scope.get("path_params", {}).get("id", ""))
                of = {"video": video} if is_video_id(video) and not route.startswith("/uploads") else {}
                what = {"status": status, "seconds": round(seconds, 4), **of}
                log.info("%s %s", method or "?", route or "(no such page)", extra=what)


class _Home(Collector):
    def __init__(self, numbers: Numbers, disk: DiskUse) -> None:
        self._numbers = numbers
        self._disk = disk

    def collect(self) -> Iterator[Metric]:
        numbers = self._numbers
        states = GaugeMetricFamily("cm_videos", "Videos by state.", labels=["state"])
        for state in STATES:
            states.add_metric([state], numbers.states.get(state, 0))
        yield states
        waiting = GaugeMetricFamily("cm_stage_waiting", "Videos that a stage is next for.", labels=["stage"])
        running = GaugeMetricFamily("cm_stage_running", "Videos that are in a stage.", labels=["stage"])
        attempts = CounterMetricFamily("cm_stage_attempts", "Attempts by how they ended.", labels=["stage", "ended"])
        seconds = CounterMetricFamily("cm_stage_seconds", "Seconds that attempts took.", labels=["stage", "ended"])
        for stage, one in numbers.stages.items():
            waiting.add_metric([stage], one.waiting)
            running.add_metric([stage], one.running)
            for ended, count in one.attempts.items():
                attempts.add_metric([stage, ended], count)
                seconds.add_metric([stage, ended], one.seconds[ended])
        yield from (waiting, running, attempts, seconds)
        yield GaugeMetricFamily(
            "cm_oldest_waiting_seconds", "Since the oldest video came that waits for a free place.", numbers.oldest
        )
        yield CounterMetricFamily("cm_llm_cost_dollars", "What the language model has cost.", numbers.dollars)
        tokens = CounterMetricFamily("cm_llm_tokens", "Tokens that it has read and written.", labels=["kind"])
        for kind, count in numbers.tokens.items():
            tokens.add_metric([kind], count)
        yield tokens
        yield GaugeMetricFamily(
            "cm_llm_cost_today_dollars", "What it has cost since midnight UTC.", numbers.dollars_today
        )
        if numbers.budget_today is not None:
            yield GaugeMetricFamily("cm_llm_budget_day_dollars", "What it may cost in a day.", numbers.budget_today)
        yield GaugeMetricFamily("cm_engine_up", "Whether anybody makes videos.", float(numbers.engine))
        if numbers.looked is not None:
            yield GaugeMetricFamily(
                "cm_engine_looked_seconds", "Since it last looked at what is wanted.", numbers.looked
            )
        if numbers.step_places:
            places = GaugeMetricFamily("cm_worker_places", "Steps that workers can execute at once.", labels=["queue"])
            for queue, count in numbers.step_places.items():
                places.add_metric([queue], count)
            yield places
        untold = GaugeMetricFamily("cm_notifications_waiting", "Events to be told.", labels=["endpoint"])
        lost = GaugeMetricFamily("cm_notifications_given_up", "Events that were never told.", labels=["endpoint"])
        for endpoint, told in numbers.told.items():
            untold.add_metric([endpoint], told.waiting)
            lost.add_metric([endpoint], told.given_up)
        yield from (untold, lost)
        disk = GaugeMetricFamily("cm_disk_bytes", "What the home takes.", labels=["part"])
        for part, size in self._disk.parts.items():
            disk.add_metric([part], size)
        yield disk
        yield GaugeMetricFamily("cm_disk_free_bytes", "What is free on its disks.", self._disk.free)
        yield GaugeMetricFamily("cm_disk_least_free_bytes", "What is to stay free on them.", self._disk.least_free)
        if self._disk.limit is not None:
            yield GaugeMetricFamily("cm_disk_limit_bytes", "What the home may take.", self._disk.limit)
        yield GaugeMetricFamily("cm_disk_full", "Whether there is no room for another video.", bool(self._disk.full))
