"""Tasks that end the process beside a run, each in a way of its own."""

import os


def end_by(number: int) -> None:
    """End this process by a signal."""
    os.kill(os.getpid(), number)


def leave() -> None:
    """Exit."""
    os._exit(7)


def run_out_of_memory() -> None:
    """Have none left."""
    raise MemoryError


def fail() -> None:
    """Raise."""
    raise ValueError("no")


def allocate(size: int) -> int:
    """Take memory."""
    return len(bytearray(size))
