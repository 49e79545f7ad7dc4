"""A run after others that ended without a word: what may end a process happens beside it, in smaller parts. Pure."""

from dataclasses import replace

from ingestor.lognames import LogName
from ingestor.ports import Plan, Ports
from state.fold import STALLED_RUNS


def isolating(ports: Ports, plan: Plan, deaths: int) -> tuple[Ports, Plan]:
    """Return the run's ports and plan, others when `deaths` runs in a row ended without a word at its checkpoint."""
    if deaths < STALLED_RUNS or ports.isolate is None:
        return ports, plan
    ports.source.close()
    isolated, close = ports.isolate(deaths, plan.encode), ports.close
    ports.log(LogName.RUN_ISOLATES, "WARNING", attempts=deaths, rows=isolated.rows)

    def close_all() -> None:
        isolated.close()
        close()

    ports = replace(ports, source=isolated.source, open_connection=isolated.open_connection, close=close_all)
    return ports, replace(
        plan,
        encode=isolated.encode,
        limits=replace(plan.limits, rows=min(plan.limits.rows, isolated.rows)),
        max_in_flight=1,
        request_rows=isolated.rows,
        isolate_next=isolated.isolate_next,
    )


def part_of(rows: int, deaths: int) -> int:
    """Return how many records are handled at once: half a batch at first, and half again after each further death."""
    return max(1, rows >> (deaths - STALLED_RUNS + 1))
