"""The API keeps what its OpenAPI document promises, whatever is sent."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from cm_assets_tests.web.conftest import SCENES, Site, served

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    negative_data_rejection,
]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("examples", [8, pytest.param(100, marks=pytest.mark.slow)])
def test_every_operation_keeps_its_promises(site: Site, examples: int) -> None:
    assert site.http.post("/videos", json=SCENES | {"id": "2026-11-24-robots"}).status_code == 202
    # One that has ended: else who follows it follows for ever.
    assert site.http.post("/videos/2026-11-24-robots/cancel").json() == {"changed": True}
    with served(site) as url:
        schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
        operations: list[Any] = [result.ok() for result in schema.get_all_operations()]  # type: ignore[union-attr]
        assert len(operations) >= 17
        for operation in operations:
            _hold(operation, examples)


def _hold(operation: Any, examples: int) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def check(case: Any) -> None:
        case.call_and_validate(checks=CHECKS)

    check()
