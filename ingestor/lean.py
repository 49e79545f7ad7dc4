"""A short start: imports that leave out what a library loads only because it is installed; and how a run uses Python:
a calmer collector, and shorter turns of its threads.
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

YOUNG_OBJECTS = 100_000
"""Objects made before the collector looks at the young ones. With Python's 700 it looks every few dozen records, which
are never garbage in cycles."""
TURN_S = 0.001
"""How long a thread keeps the interpreter that another one waits for; Python's is 0.005. A page's thread needs it after
each read from its connection, while the loop, which encodes, has it. Of 9.4 s with pages of 5,000 from memory the loop
waited for pages 1.2 s, with this 0.2 s; half of it gives no more (2026-11-26, two cores).
"""


@contextmanager
def without(*names: str) -> Iterator[None]:
    """Import as if these packages were not installed; those that are loaded already stay.

    Google's clients import pandas where it is installed, which takes as long as all else at the start of a run;
    structlog imports rich.
    """
    hidden = [name for name in names if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment] # an import of None is an ImportError
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


@cache
def calm_collector() -> None:
    """Let the collector look rarely, and never again at what is there now: modules, classes and descriptors.

    Once a process: a second time would keep the garbage of the runs in between.
    """
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)


def give_back() -> None:
    """Collect what a run left behind in cycles (clients, sessions, their locks): some 100 kB, which a calm collector
    would let pile up for two hundred runs of a service. What was frozen is not looked at, so this takes milliseconds.
    """
    gc.collect()


def tune_for_runs() -> None:
    """Calm the collector, and let threads that wait for the interpreter have it after `TURN_S`."""
    calm_collector()
    sys.setswitchinterval(TURN_S)
