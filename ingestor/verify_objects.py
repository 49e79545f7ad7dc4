"""Proof that what the ledger says was set aside is in the bucket: every dead batch, every object of rejected records.

An object that nobody needs any more may have aged out there, so of closed dead letters only those are asked for that
are younger than the ledger's retention; the bucket's lifecycle must not be shorter. Metadata is read, no content.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from state.index import is_done
from state.journal import ALL_BATCHES, Document, Journal

Exists = Callable[[str, int], bool]
"""Tells whether an object is in the bucket with this generation."""
ASKED_AT_ONCE = 8
_PAGE_BATCHES = 300


@dataclass(frozen=True, slots=True)
class Letter:
    """An object that must be in the bucket, and for which batch."""

    batch_id: str
    what: str
    name: str
    generation: int


def verify_objects(journal: Journal, exists: Exists, *, since_us: int) -> list[str]:
    """Return one line for each dead letter whose object is not in the bucket as the ledger names it.

    Asks for all that are open, and for closed ones set aside since `since_us`.

    Raises:
        LedgerUnavailable, DeadLetterError: ledger or bucket could not be asked.
    """
    lines: list[str] = []
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        for page in _pages(journal):
            letters = list(letters_of(page, since_us))
            found = pool.map(lambda letter: exists(letter.name, letter.generation), letters)
            lines += [_line(letter) for letter, is_there in zip(letters, found, strict=True) if not is_there]
    return lines


def letters_of(batches: Iterable[Document], since_us: int) -> Iterator[Letter]:
    """Yield the objects that batches need: while something is left to do with them, and while they are young."""
    for batch in batches:
        settled_us = batch.get("settled_at_us")
        if settled_us is None or (is_done(batch) and settled_us < since_us):
            continue
        batch_id = str(batch["batch_id"])
        if batch.get("dead_object"):
            yield Letter(batch_id, "dead batch", batch["dead_object"], batch["dead_generation"])
        for each in batch.get("rejections", ()):
            yield Letter(batch_id, f"records rejected at {each['stage']}", each["object"], each["generation"])


def _pages(journal: Journal) -> Iterator[list[Document]]:
    query = ALL_BATCHES
    while page := list(journal.list_batches(query, limit=_PAGE_BATCHES)):
        yield page
        query = query.following(page[-1])


def _line(letter: Letter) -> str:
    where = f"{letter.name} (generation {letter.generation})"
    return f"batch {letter.batch_id}: {letter.what}, {where} is not in the bucket; restore it from soft delete"
