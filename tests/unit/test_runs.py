"""A run in full, as the ledger tells it."""

from ingestor.runs import shown
from state.memory import MemoryJournal
from tests.unit.state.histories import attempted, committed, started, tell, writer


def test_a_run_is_shown_with_the_batches_that_it_attempted_and_no_others() -> None:
    journal = MemoryJournal()
    ledger = writer(journal)
    ledger.open()
    tell(ledger, [[started()], [attempted("b1")], [committed("b1")]])
    found = shown(journal, "run-1")
    assert found is not None
    assert found["run"]["run_id"] == "run-1"
    assert [batch["batch_id"] for batch in found["batches"]] == ["b1"]
    assert found["more_batches"] is False
    assert shown(journal, "run-2") is None


def test_of_a_run_with_many_batches_the_newest_are_shown_and_that_there_are_more() -> None:
    journal = MemoryJournal()
    ledger = writer(journal)
    ledger.open()
    tell(ledger, [[started()], [attempted(f"b{at}", at) for at in range(3)]])
    found = shown(journal, "run-1", limit=2)
    assert found is not None
    assert (len(found["batches"]), found["more_batches"]) == (2, True)
    whole = shown(journal, "run-1", limit=3)
    assert whole is not None
    assert (len(whole["batches"]), whole["more_batches"]) == (3, False)
