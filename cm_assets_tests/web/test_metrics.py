"""`/metrics`: what a home has done and has to do, in numbers that a parser of Prometheus's reads."""

from prometheus_client.parser import text_string_to_metric_families

from cm_assets.storage.database import Step
from cm_assets_tests.web.conftest import SCENES, Site

Samples = dict[tuple[str, tuple[str, ...]], float]


def read(site: Site) -> Samples:
    answer = site.http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    found: Samples = {}
    for family in text_string_to_metric_families(answer.text):
        assert family.documentation, family.name
        for sample in family.samples:
            found[sample.name, tuple(sample.labels.values())] = sample.value
    return found


def test_videos_are_counted_by_state_and_stage(site: Site) -> None:
    for number in range(3):
        site.http.post("/videos", json=SCENES | {"id": f"v{number}"})
    site.http.post("/videos/v0/cancel")
    found = read(site)
    assert found["cm_videos", ("queued",)] == 2
    assert found["cm_videos", ("cancelled",)] == 1
    assert found["cm_videos", ("published",)] == 0
    assert found["cm_stage_waiting", ("brief",)] == 2
    assert found["cm_stage_waiting", ("published_post/youtube",)] == 0
    assert found["cm_oldest_waiting_seconds", ()] > 0
    assert found["cm_engine_up", ()] == 0
    assert found["cm_disk_free_bytes", ()] > 0


def test_attempts_are_counted_by_how_they_ended(site: Site) -> None:
    database = site.house.client.database
    database.end_attempt("v", "render", Step(1.0), "done", 2.5)
    database.end_attempt("w", "render", Step(1.0), "done", 1.5)
    database.end_attempt("w", "audio", Step(0.0), "transient", 0.25)
    found = read(site)
    assert found["cm_stage_attempts_total", ("done", "render")] == 2
    assert found["cm_stage_seconds_total", ("done", "render")] == 4.0
    assert found["cm_stage_attempts_total", ("transient", "audio")] == 1


def test_answers_are_timed_by_route_and_not_by_what_somebody_typed(site: Site) -> None:
    for video in ("one", "two", "three"):
        site.http.get(f"/videos/{video}")
    site.http.get("/no/such/<place>")
    found = read(site)
    assert found["cm_http_request_seconds_count", ("GET", "/videos/{id}", "404")] == 3
    assert not [labels for _, labels in found if any("such" in label or "three" in label for label in labels)]


def test_numbers_are_for_those_with_a_token(site: Site) -> None:
    headers = site.token("review")
    site.house.doorman.forget()
    assert site.http.get("/metrics").status_code == 401
    assert site.http.get("/metrics", headers=headers).status_code == 200
