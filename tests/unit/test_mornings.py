"""What `make dev` leaves behind is what it means to: its source does not run dry before its failures have happened."""

import pytest

from ops.local.flights import JANUARY, records
from ops.local.operators import MORNINGS, UNTIL, Morning


def flights_after_january() -> int:
    return len(records(JANUARY[1], UNTIL))


def test_the_source_has_a_flight_for_every_morning() -> None:
    assert sum(morning.flights for morning in MORNINGS) <= flights_after_january()


@pytest.mark.parametrize("morning", [each for each in MORNINGS if each.spoiled])
def test_what_a_morning_spoils_is_among_its_own_flights(morning: Morning) -> None:
    assert max(morning.spoiled) <= morning.flights
