"""What a person at a terminal sees of a run; what nobody watches costs nothing."""

import io
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from ingestor.terminal import bar_when_useful, log_stream

SOME: Any = SimpleNamespace(
    at_stage=lambda _: (1, 2), counts=SimpleNamespace(rows_committed=27_004, batches_committed=19)
)
"""As much of a run's progress as the bar shows."""


class Terminal(io.StringIO):
    """Claims to be watched."""

    def isatty(self) -> bool:
        """Claim it."""
        return True


def seen(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, **asked: bool) -> str:
    monkeypatch.setattr(sys, "stderr", stream)
    with bar_when_useful(**asked) as show:
        show(SOME)
    return stream.getvalue()


def test_at_a_terminal_a_bar_tells_rows_and_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    said = seen(monkeypatch, Terminal(), quiet=False, as_json=False)
    assert "27,004 rows committed" in said
    assert "19 batches, 2 in flight" in said


@pytest.mark.parametrize("asked", ["quiet", "as_json"])
def test_who_asked_for_silence_or_json_sees_no_bar(monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    assert not seen(monkeypatch, Terminal(), **{"quiet": False, "as_json": False, asked: True})


def test_nobody_watches_a_file_and_nothing_that_draws_is_loaded_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in sys.modules if each.partition(".")[0] == "rich"]:
        monkeypatch.setitem(sys.modules, name, None)
    assert not seen(monkeypatch, io.StringIO(), quiet=False, as_json=False)


def test_log_lines_go_where_no_bar_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert log_stream(quiet=False, as_json=True) is sys.stdout
    assert log_stream(quiet=False, as_json=False) is not sys.stdout
    assert log_stream(quiet=True, as_json=True) is not sys.stdout
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert log_stream(quiet=False, as_json=False) is sys.stdout
