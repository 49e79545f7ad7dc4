"""A journal that keeps batches with trouble apart, for histories of every kind."""

from collections.abc import Callable, Mapping
from typing import Any

from state.journal import Commit, Committed, Document
from state.memory import MemoryJournal
from state.troubled import troubled_changes


class Kept(MemoryJournal):
    """A journal that keeps batches with trouble apart as Firestore does, so that every history tells whether they say
    what the batches say.
    """

    def __init__(self, *, now_s: Callable[[], float]) -> None:
        super().__init__(now_s=now_s)
        self._troubled: dict[str, dict[str, Any]] = {}

    def commit(self, commit: Commit) -> Committed:
        committed = super().commit(commit)
        for key, fields in troubled_changes(commit).items():
            merged = {**self._troubled.get(key, {}), **fields}
            self._troubled[key] = {name: value for name, value in merged.items() if value}
        return committed

    def read_troubled(self, *, limit: int, after: str | None = None) -> Mapping[str, Document]:
        keys = sorted(key for key in self._troubled if after is None or key > after)[:limit]
        return {key: self._troubled[key] for key in keys}
