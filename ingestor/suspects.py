"""Which of several things ends the process that handles them: found by halves, and never blamed on a chance. Pure."""

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
TRIES = 2
"""A part is halved when it ended as many processes in a row: one alone may have been ended by somebody else."""
TRIES_ALONE = 3
"""A single thing is found guilty when it ended as many in a row, and a process that did nothing lives."""


class NotToBlame(Exception):  # noqa: N818 - a verdict
    """Processes that do nothing end as well: whatever ends them, it is nothing that they are given."""


def culprits(
    items: Sequence[T], survives: Callable[[Sequence[T]], bool], part: int, *, idle_survives: Callable[[], bool]
) -> list[int]:
    """Return the places of the things that end the process by themselves, trying at most `part` at once.

    `survives` hands things to another process and tells whether it lived; `idle_survives` hands it nothing.

    Raises:
        NotToBlame: as said there.
    """
    found = list[int]()
    todo = [(at, min(at + part, len(items))) for at in range(0, len(items), max(1, part))]
    while todo:
        first, end = todo.pop(0)
        tries = TRIES_ALONE if end - first == 1 else TRIES
        if any(survives(items[first:end]) for _ in range(tries)):
            continue
        if end - first > 1:
            middle = (first + end) // 2
            todo[:0] = [(first, middle), (middle, end)]
            continue
        if not any(idle_survives() for _ in range(TRIES)):
            raise NotToBlame
        found.append(first)
    return found
