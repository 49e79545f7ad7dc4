"""With `MASK_FIELDS` no page and no answer of the API quotes a value that stands in somebody's error."""

import pytest

from ingestor.outcome import answered
from ops.masking import HIDDEN, errors_shown
from state.events import RunFailed
from tests.dead import batch_of, flight
from tests.unit.ops.apps import Office, office

QUOTED = "S3CRET"
REFUSED = answered(3, f"Cannot convert '{QUOTED}' in row 0")
"""What BigQuery says of a value, the value quoted."""
QUOTING = (
    "/",
    "/live",
    "/runs",
    "/runs/run-1",
    "/batches",
    "/batches/{batch}",
    "/receipts/{receipt}",
    "/audit",
    "/api/status",
    "/api/runs",
    "/api/runs/run-1",
    "/api/batches",
    "/api/batches/{batch}",
    "/api/receipts/{receipt}",
)
"""Addresses that tell an error."""


def _office(mask: str) -> tuple[Office, str]:
    """A run that failed, its dead batch, and a table that refuses every replay; all of them quote the value."""
    here = office(None, MASK_FIELDS=mask)
    run = here.desk.lane()
    dead = run.dead(batch_of([flight(1), flight(2)]), REFUSED, kind="systemic")
    run.ledger.append([RunFailed(run_id=run.run_id, error=f"source said '{QUOTED}'")], run_id=run.run_id)
    here.desk.table.otherwise = REFUSED
    return here, dead


@pytest.mark.parametrize("mask", ["month", ""], ids=["masked", "nothing is masked"])
def test_an_error_s_quoted_value_is_shown_only_where_nothing_is_masked(mask: str) -> None:
    here, dead = _office(mask)
    planned = here.post("/api/replay", {"status": "DEAD_LETTERED", "dry_run": True, "reason": "test"})
    assert QUOTED not in planned.text, "a plan's errors are normalised for everybody"
    alone = here.post(f"/api/batches/{dead}/replay", {"reason": "test"})
    opened = here.post("/api/replay", {"status": "DEAD_LETTERED", "reason": "test"})
    receipt = opened.json["receipt"]
    going = here.post(f"/api/receipts/{receipt}/continue", {})
    found = {path: here.get(path.format(batch=dead, receipt=receipt)) for path in QUOTING}
    found |= {"replay": alone, "continue": going}
    assert {answer.status_code for answer in found.values()} <= {200, 202, 409}
    quoting = {path for path, answer in found.items() if QUOTED in answer.text}
    assert quoting == (set() if mask else set(found))


def test_errors_are_hidden_at_any_depth_and_people_s_reasons_are_not() -> None:
    document = {
        "error": f"bad '{QUOTED}'",
        "reason": f"because of '{QUOTED}'",
        "rows": 3,
        "items": [{"answer": f"no '{QUOTED}'"}, {"reason": f"is '{QUOTED}'", "field": "tail_num"}],
        "more": {"last_answer": None, "lines": ({"reason": f"is '{QUOTED}'", "field": None},)},
    }
    assert errors_shown(document, ()) == document
    assert errors_shown(document, ("tailNum",)) == {
        "error": "bad <value>",
        "reason": f"because of '{QUOTED}'",
        "rows": 3,
        "items": [{"answer": "no <value>"}, {"reason": HIDDEN, "field": "tail_num"}],
        "more": {"last_answer": None, "lines": [{"reason": "is <value>", "field": None}]},
    }
