from typing import Any, get_args

import pytest

from state.ops_index import AskedEvent
from state.transitions import (
    MAX_REPAIRS,
    MAX_REPLAYS,
    OF_RECORDS,
    TRANSITIONS,
    Status,
    contradiction,
    refusal,
    transitions_text,
)
from tests.unit.state.histories import (
    digests,
    discarded,
    not_replayed,
    records_discarded,
    records_replayed,
    reopened,
    replay,
    replayed,
)

TAKEN = {"replay_token": "t2", "last_actor": "bob"}
STATUSES: tuple[str, ...] = get_args(Status)


def batch(status: str = "DEAD_LETTERED", **fields: Any) -> dict[str, Any]:
    return {"status": status, "replay_token": "t1", "rejected_indexes": [0, 1, 2], "replays": 0, **fields}


def repair(record: int, state: str = "claimed") -> dict[str, Any]:
    return {str(record): {"digest": digests(record).hex(), "state": state}}


ALLOWED: list[tuple[AskedEvent, str]] = [
    (replay("b1"), "DEAD_LETTERED REPLAYING"),
    (replayed("b1"), "REPLAYING"),
    (not_replayed("b1"), "REPLAYING"),
    (discarded("b1"), "DEAD_LETTERED REPLAYING"),
    (reopened("b1"), "DISCARDED"),
    (replay("b1", "t1", 0), "COMMITTED DEAD_LETTERED REPLAYING"),
    (not_replayed("b1", "t1", 0), "COMMITTED DEAD_LETTERED REPLAYING DISCARDED"),
    (records_replayed("b1", "t1", 0), "COMMITTED DEAD_LETTERED REPLAYING DISCARDED"),
    (records_discarded("b1", 1), "COMMITTED DEAD_LETTERED REPLAYING DISCARDED"),
]


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize(("event", "statuses"), ALLOWED, ids=lambda value: getattr(value, "TYPE", ""))
def test_an_event_is_refused_in_every_status_but_its_own(event: AskedEvent, statuses: str, status: str) -> None:
    document = batch(status, repairs=repair(0))
    why = refusal(document, event)
    assert (why is None) == (status in statuses.split())
    assert (contradiction(document, event) is None) == (status in statuses.split())
    assert why is None or (why.startswith(f"batch b1 is {status}") and "\n" not in why)


def test_no_event_leads_out_of_what_is_superseded_and_every_status_can_be_reached() -> None:
    assert not any("SUPERSEDED" in found for found, _ in TRANSITIONS.values())
    assert not any("SUPERSEDED" in found for found in OF_RECORDS.values())
    assert {left for _, left in TRANSITIONS.values()} == set(STATUSES)


def test_the_table_is_the_designs() -> None:
    changes = {(start, end) for found, end in TRANSITIONS.values() for start in found}
    assert changes == {
        ("ATTEMPTED", "COMMITTED"),
        ("ATTEMPTED", "DEAD_LETTERED"),
        ("ATTEMPTED", "SUPERSEDED"),
        ("DEAD_LETTERED", "REPLAYING"),
        ("REPLAYING", "REPLAYING"),
        ("REPLAYING", "COMMITTED"),
        ("REPLAYING", "DEAD_LETTERED"),
        ("DEAD_LETTERED", "DISCARDED"),
        ("REPLAYING", "DISCARDED"),
        ("DISCARDED", "DEAD_LETTERED"),
        ("COMMITTED", "SUPERSEDED"),  # only by the recovery of a lane
    }


def test_the_table_is_rendered_for_the_documents() -> None:
    assert "| `replay_started` | DEAD_LETTERED, REPLAYING | REPLAYING |" in transitions_text().splitlines()
    assert len(transitions_text().splitlines()) == 2 + len(TRANSITIONS)


@pytest.mark.parametrize(
    ("document", "event", "message"),
    [
        (None, replay("b1"), "is not known; find it with"),
        (batch(), replay("b1", actor=""), "say who"),
        (batch(replays=MAX_REPLAYS), replay("b1"), f"was replayed {MAX_REPLAYS} times by people"),
        (batch("REPLAYING", **TAKEN), replayed("b1"), "was taken over by bob"),
        (batch("REPLAYING", **TAKEN), not_replayed("b1"), "was taken over by bob"),
        (batch(last_actor="bob"), replayed("b1"), "is DEAD_LETTERED since bob acted on it; it can be replayed or"),
        (batch(), replay("b1", "t1", 3), "rejected no record 3"),
        (batch(), records_discarded("b1", 0, 3, 4, 5, 6, 7, 8), "rejected no record 3, 4, 5, 6, 7 and 1 more"),
        (batch(), records_discarded("b1"), "is asked about no record"),
        (batch(discarded_indexes=[1]), replay("b1", "t1", 0, 1), "has record 1 discarded"),
        (batch(repairs={"0": repair(9)["9"]}), replay("b1", "t1", 0), "is being replayed as a different repair"),
        (batch(repairs={"0": repair(9, "landed")["9"]}), replay("b1", "t1", 0), "was replayed as a different repair"),
        (batch(repairs=repair(0)), records_discarded("b1", 0), "has a repair of record 0 under way"),
        (batch(repairs=repair(0, "landed")), records_discarded("b1", 0), "has record 0 replayed already"),
        (
            batch(repairs={"0": repair(9)["9"]}),
            records_replayed("b1", "t1", 0),
            "has no claim of this repair of record 0; run `ingestor reconcile`",
        ),
        (batch(), records_replayed("b1", "t1", 0), "has no claim of this repair of record 0"),
        (
            batch(repairs={str(number): {} for number in range(1, MAX_REPAIRS + 1)}),
            replay("b1", "t1", 0),
            f"takes at most {MAX_REPAIRS} repaired records",
        ),
    ],
)
def test_a_refusal_says_what_is_and_what_can_be_done(
    document: dict[str, Any] | None, event: AskedEvent, message: str
) -> None:
    why = refusal(document, event)
    assert why is not None
    assert message in why
    assert "\n" not in why


@pytest.mark.parametrize(
    ("document", "event"),
    [
        (batch(replays=MAX_REPLAYS - 1), replay("b1")),
        (batch(replays=MAX_REPLAYS), replay("b1", forced=True)),
        (batch(replays=MAX_REPLAYS), replay("b1", actor="run")),
        (batch("REPLAYING", replays=MAX_REPLAYS), replay("b1", "t2")),
        (batch(repairs=repair(0)), replay("b1", "t2", 0)),
        (batch(repairs=repair(0, "landed")), replay("b1", "t2", 0)),
        (batch(replays=MAX_REPLAYS), replay("b1", "t2", 0)),
        (batch(repairs={str(number): {} for number in range(1, MAX_REPAIRS)}), replay("b1", "t1", 0)),
    ],
    ids=[
        "below the cap",
        "forced",
        "by a run",
        "a takeover counts no replay",
        "the same repair again",
        "the same repair after it landed",
        "records have no cap of replays",
        "as many repairs as fit",
    ],
)
def test_what_is_allowed_is_not_refused(document: dict[str, Any], event: AskedEvent) -> None:
    assert refusal(document, event) is None


def test_the_history_of_a_batch_may_break_limits_that_came_later() -> None:
    assert contradiction(batch(replays=99), replay("b1")) is None
