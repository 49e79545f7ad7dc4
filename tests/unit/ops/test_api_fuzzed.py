"""Requests made from the served OpenAPI document, valid ones and invalid ones: no fault, no answer that the document
does not describe, nothing valid refused and nothing invalid taken.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode, openapi

from ingestor.config import load
from ingestor.reconcile import Reconciliation
from tests.dead import REFUSED, batch_of, flight
from tests.tokens import Issuer
from tests.unit.ops.apps import BASE, Office, application
from tests.unit.ops.test_security import ROLES

NO_LIMITS = {"reads": "1000000 per minute", "changes": "1000000 per minute"}
QUICK, FULL = 3, 60
"""Requests of each kind to each of some twenty operations; the full count makes at least 2,000."""
FULL_CASES = 2_000


@dataclass
class Fuzzed:
    """The API over a ledger with something of everything in it, and how its answers were."""

    here: Office
    headers: dict[str, str]
    batches: list[str]
    receipts: list[str]
    statuses: dict[int, int] = field(default_factory=dict)

    @property
    def operations(self) -> list[Any]:
        """Those of the served document; that a token is needed is `test_security`'s, here each request has one."""
        document = self.here.get("/api/openapi.json", headers=self.headers).json
        for item in document["paths"].values():
            for operation in item.values():
                del operation["security"]
        schema = openapi.from_dict(document)
        schema.app = self.here.client.application
        found: list[Any] = list(schema.get_all_operations())
        return [each.ok() for each in found]

    def try_out(self, case: Case[Any], known: int) -> None:
        """Send it, to things that exist when `known` says which, and hold the answer against the document."""
        parameters: Any = case.path_parameters
        if known and "batch_id" in (parameters or {}):
            parameters["batch_id"] = self.batches[known % len(self.batches)]
        if known and "receipt" in (parameters or {}):
            parameters["receipt"] = self.receipts[known % len(self.receipts)]
        response = case.call(headers=self.headers)
        self.statuses[response.status_code] = self.statuses.get(response.status_code, 0) + 1
        case.validate_response(response, headers=self.headers)


@pytest.fixture
def fuzzed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fuzzed]:
    monkeypatch.setattr("ingestor.views.reconciliation_of", lambda *_: Reconciliation(0, ()))
    with Issuer().serving() as issuer:
        here = application(load({**BASE, **ROLES, "AUTH": "oidc", "AUTH_CERTS_URL": issuer.certs_url}), None, NO_LIMITS)
        run = here.desk.lane()
        dead = [run.dead(batch_of([flight(n)], start=f"d{n}"), REFUSED) for n in range(6)]
        rejected = [run.committed(batch_of([flight(n), flight(n, dep_time="x")], start=f"r{n}")) for n in range(3)]
        run.finish()
        headers = issuer.bearer()
        bulk = here.post("/api/replay", {"reason": "r", "limit": 2}, headers=headers).json["receipt"]
        single = here.post(f"/api/batches/{dead[0]}/discard", {"reason": "r"}, headers=headers).json["receipt"]
        yield Fuzzed(here, headers, [*dead, *rejected], [bulk, single])


def is_sent_as_it_is(case: Case[Any]) -> bool:
    """Whether the address can say what the case holds: a list of one is there a single value, an empty one is none, and
    so is an empty text, as forms send it.
    """
    values = (case.query or {}).values()
    return "" not in values and not any(
        len([each for each in value if each is not None]) < 2 for value in values if isinstance(value, list | dict)
    )


def fuzz(fuzzed: Fuzzed, examples: int, *, derandomize: bool) -> int:
    """Send so many valid and so many invalid requests to each operation. Return how many were sent."""
    for operation in fuzzed.operations:
        takes = operation.definition.raw.keys() & {"parameters", "requestBody"}
        for mode in GenerationMode if takes else (GenerationMode.POSITIVE,):
            anything = operation.as_strategy(generation_mode=mode)
            which = st.integers(0, 20) if mode is GenerationMode.POSITIVE else st.just(0)

            @given(case=anything, known=which)
            @settings(
                max_examples=examples,
                deadline=None,
                derandomize=derandomize,
                database=None,
                suppress_health_check=list(HealthCheck),
                phases=[Phase.generate],
            )
            def send(case: Case[Any], known: int) -> None:
                assume(is_sent_as_it_is(case))
                fuzzed.try_out(case, known)

            send()
    return sum(fuzzed.statuses.values())


@pytest.mark.parametrize("examples", [QUICK, pytest.param(FULL, marks=[pytest.mark.long, pytest.mark.timeout(3600)])])
def test_no_request_meets_a_fault_or_an_answer_that_the_document_does_not_know(
    fuzzed: Fuzzed, examples: int, pytestconfig: pytest.Config
) -> None:
    is_seeded = pytestconfig.getoption("hypothesis_seed") is not None
    cases = fuzz(fuzzed, examples, derandomize=examples == QUICK and not is_seeded)
    assert cases >= (FULL_CASES if examples == FULL else len(fuzzed.operations) * examples)
    assert {200, 422} <= set(fuzzed.statuses)
    assert not [status for status in fuzzed.statuses if status >= 500]
    print(f"{cases} requests: {dict(sorted(fuzzed.statuses.items()))}")  # noqa: T201 - the count is the bar
