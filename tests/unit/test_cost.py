"""What a run costs: by what it sent, wrote and stored, at list prices."""

import pytest

from ingestor.batch import Limits
from ingestor.cost import Usage
from ingestor.outcome import Outcome, answered
from ingestor.signals import SendBatch
from ingestor.summary import run_summary
from tests.world import Actor, World, finish


@pytest.mark.parametrize(
    ("usage", "usd"),
    [
        (Usage(1024**3, 0, 0, 0), 0.025),
        (Usage(0, 100_000, 0, 0), 0.09),
        (Usage(0, 0, 1_000, 0), 0.005),
        (Usage(0, 0, 0, 1_000), 0.02525),
        (Usage(1024**3, 100_000, 1_000, 1_000), 0.14525),
    ],
)
def test_every_part_has_its_list_price(usage: Usage, usd: float) -> None:
    assert usage.usd == pytest.approx(usd)
    assert usage.summary(2_000_000)["usd_per_million_rows"] == pytest.approx(usd / 2)


def test_a_run_that_committed_nothing_has_no_price_a_row() -> None:
    assert Usage(0, 9, 0, 1).summary(0)["usd_per_million_rows"] is None


def test_a_run_counts_what_it_sent_again_and_what_it_stored() -> None:
    sent: list[int] = []
    world = World([[{"n": number} for number in range(5)] + ["no row"]])
    again = iter([True])

    def answer(request: SendBatch) -> Outcome:
        sent.append(sum(map(len, request.rows)))
        return answered(13, "again") if next(again, False) else answered(0)

    world.answer = answer
    actor = Actor(world, "run-1", limits=Limits(rows=3, bytes=10_000))
    finish(actor)
    cost = run_summary(actor.state, 2.0)["cost"]
    assert len(sent) == 3
    assert (cost["write_api_bytes"], cost["storage_writes"], cost["cloud_run_s"]) == (sum(sent), 1, 2.0)
    assert cost["firestore_writes"] == actor.state.counts.ledger_writes > 0
