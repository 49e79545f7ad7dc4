"""What Firestore's emulator takes for one query of a large collection.

Firestore's own indexes answer in time that grows with what is returned. The emulator sorts all documents of the
collection that have the fields asked for before it looks at conditions and limits. Reads by name and a smaller
collection are beside it.
"""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from statistics import median
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from google.cloud.firestore import FieldFilter

from bench.results import Result
from ops.local.services import FirestoreEmulator
from state.firestore import client_for

if TYPE_CHECKING:
    from bench.world import World

NAME = "ops_emulator"
NEEDS_FIRESTORE = True
ROWS = 110_000
"""Documents of the collection; one in eleven has a field more, as a dead batch has."""
ROUNDS, PAGE, A_COMMIT = 5, 50, 500
HEAP_MB = 6_000


def measure(world: "World", rows: int = ROWS) -> Result:
    """Fill two collections, of `rows` and of an eleventh as many, and ask each."""
    del world  # nothing runs
    with (
        FirestoreEmulator(heap_mb=HEAP_MB) as emulator,
        patch.dict(os.environ, {"FIRESTORE_EMULATOR_HOST": emulator.host}),
    ):
        root = client_for("bench-emulator", "(default)").collection("pipelines").document("p")
        large, small = root.collection("batches"), root.collection("dead")
        _fill(root, large, rows)
        _fill(root, small, rows // 11)
        found = _medians_ms(_questions(large, small, rows))
    return Result(
        NAME,
        "One query of Firestore's emulator",
        {"documents": rows, "in the smaller collection": rows // 11, "rounds": ROUNDS},
        [{"asked": what, "median ms": ms} for what, ms in found.items()],
        [],
        {what.replace(" ", "_"): ms for what, ms in found.items()},
    )


def _fill(root: Any, collection: Any, rows: int) -> None:  # noqa: ANN401 - the client has no types
    for start in range(0, rows, A_COMMIT):
        batch = root._client.batch()  # noqa: SLF001 - one client for all
        for number in range(start, min(rows, start + A_COMMIT)):
            died = {"dead_at": number} if number % 11 == 0 else {}
            batch.set(collection.document(f"{number * 7919 % rows:09d}"), {"at": number, **died})
        batch.commit()


def _questions(large: Any, small: Any, rows: int) -> dict[str, Callable[[], Iterable[Any]]]:  # noqa: ANN401 - likewise
    def newest(asked: Any, field: str) -> Iterable[Any]:  # noqa: ANN401 - likewise
        found: Iterable[Any] = asked.order_by(field, direction="DESCENDING").limit(PAGE).stream()
        return found

    names = [large.document(f"{number:09d}") for number in range(PAGE)]
    last = large.where(filter=FieldFilter("at", ">=", rows - PAGE))
    return {
        "50 of all without order": lambda: large.limit(PAGE).stream(),
        "50 of all newest first": lambda: newest(large, "at"),
        "the last 50 alone newest first": lambda: newest(last, "at"),
        "50 of the dead among all newest first": lambda: newest(large, "dead_at"),
        "50 of the smaller collection newest first": lambda: newest(small, "at"),
        "50 by name": lambda: large._client.get_all(names),  # noqa: SLF001 - likewise
    }


def _medians_ms(questions: Mapping[str, Callable[[], Iterable[Any]]]) -> dict[str, int]:
    """Ask all by turns, after one round that is not told.

    Raises:
        ValueError: an answer is not a page.
    """
    times: dict[str, list[float]] = {what: [] for what in questions}
    for _ in range(ROUNDS + 1):
        for what, ask in questions.items():
            began = time.perf_counter()
            found = len(list(ask()))
            times[what].append((time.perf_counter() - began) * 1_000)
            if found != PAGE:
                raise ValueError(f"{what}: {found} documents")
    return {what: round(median(taken[1:])) for what, taken in times.items()}
