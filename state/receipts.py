"""A bulk replay's receipt: what was asked, frozen, and what became of each batch. Pure."""

from collections.abc import Mapping
from typing import Any, Literal

from state.events import ReceiptClosed, ReceiptOpened
from state.fold import Moment
from state.journal import Document

Letter = Literal[".", "S", "F", "K"]
PENDING: Letter = "."
SUCCEEDED: Letter = "S"
FAILED: Letter = "F"
SKIPPED: Letter = "K"

MAX_FAILURES_IN_ROW = 3
"""After this many failures in a row a receipt takes no more claims until somebody lets it go on."""
MAX_BATCH_IDS = 10_000
"""Batches of one receipt: 34 bytes each in its entry, which must stay under 900 KiB, and in its document."""

RECEIPT_FIELDS = (
    "receipt",
    "actor",
    "reason",
    "filter",
    "outcomes",
    "status",
    "last_actor",
    "opened_at_us",
    "updated_at_us",
    "failures_in_row",
    "expire_at_us",
)
"""Every field of a receipt but `batch_ids`: what a list of receipts reads."""


def opened(before: Document | None, event: ReceiptOpened, moment: Moment) -> dict[str, Any]:
    """Return the fields that an opening changes: all of a new receipt, or those that let one go on."""
    going_on = {
        "status": "open",
        "last_actor": event.actor,
        "updated_at_us": moment.at_us,
        "failures_in_row": 0,
        "expire_at_us": None,
    }
    if before is not None or not event.batch_ids:
        return going_on
    return {
        "receipt": event.receipt,
        "actor": event.actor,
        "reason": event.reason,
        "filter": dict(event.filter),
        "batch_ids": list(event.batch_ids),
        "outcomes": PENDING * len(event.batch_ids),
        "opened_at_us": moment.at_us,
        **going_on,
    }


def closed(before: Document, event: ReceiptClosed, moment: Moment, expire_at_us: int) -> dict[str, Any]:
    """Return the fields that a closing changes: `done` skips what was not tried; otherwise it stays to be done."""
    outcomes = before.get("outcomes", "")
    return {
        "status": event.status,
        "last_actor": event.actor,
        "updated_at_us": moment.at_us,
        "outcomes": outcomes.replace(PENDING, SKIPPED) if event.status == "done" else outcomes,
        "expire_at_us": expire_at_us if event.status == "done" else None,
    }


def answered(before: Document, batch_id: str, letter: Letter, moment: Moment) -> dict[str, Any]:
    """Return the fields that the end of one replay changes. A batch that the receipt does not name changes nothing."""
    if batch_id not in before.get("batch_ids", ()):
        return {}
    at = list(before["batch_ids"]).index(batch_id)
    return {
        "outcomes": before["outcomes"][:at] + letter + before["outcomes"][at + 1 :],
        "failures_in_row": before["failures_in_row"] + 1 if letter == FAILED else 0,
        "updated_at_us": moment.at_us,
    }


def outcome_of(receipt: Document, batch_id: str) -> str | None:
    """Return the letter of a batch, None when the receipt does not name it."""
    ids = list(receipt["batch_ids"])
    return receipt["outcomes"][ids.index(batch_id)] if batch_id in ids else None


def counts(receipt: Mapping[str, Any]) -> dict[str, int]:
    """Return how many batches are pending, succeeded, failed and skipped."""
    names = {"pending": PENDING, "succeeded": SUCCEEDED, "failed": FAILED, "skipped": SKIPPED}
    return {name: receipt["outcomes"].count(letter) for name, letter in names.items()}
