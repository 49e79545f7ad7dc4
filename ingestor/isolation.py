"""How a run reads and sends where runs before it ended without a word: what may end a process is tried in another.

Every response is decoded and its records are encoded by a process beside the run first; only what that process lives
through does the run do itself. When it ends twice on the same part the part is halved, down to a record that ends it
three times in a row while a process that is given nothing lives: that record is rejected, with this reason. So chance,
or a person who ends processes, rejects nothing: at worst the run fails, and the next one reads the same again.

A record that the decoder cannot take stands in the page as the base64 of its bytes from then on.
"""

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ingestor.batch import Encode
from ingestor.child import Child, Died, TaskFailed
from ingestor.child_tasks import decode_bodies, do_nothing, encode_page, encode_records
from ingestor.decode import decode
from ingestor.encode import Rejection
from ingestor.errors import SourceError
from ingestor.json_slices import record_slices
from ingestor.lognames import LogName
from ingestor.pages import JsonValue
from ingestor.ports import Log
from ingestor.suspects import TRIES_ALONE, NotToBlame, culprits
from ingestor.unread import record_digest

UNRELATED = (
    "processes that were given nothing ended as well, so no record is to blame: look for what ends them (memory, "
    "limits of the platform); the next run tries again"
)
Task = Callable[..., None]


@dataclass(frozen=True, slots=True)
class _Patch:
    """Bytes of a response that are replaced before it is decoded."""

    start: int
    end: int
    by: bytes


@dataclass
class Isolation:
    """Decodes and encodes for one run. Used by several threads.

    `part` is how many records are tried at once where not all are; `whole_first` says that a whole response may be.
    """

    child: Child
    message_type: str
    records_path: str
    inner: Encode
    log: Log
    part: int
    whole_first: bool = True
    _reasons: dict[bytes, Rejection] = field(default_factory=dict)
    _patches: dict[bytes, tuple[_Patch, ...]] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _how: str = ""
    _ends: dict[bytes, str] = field(default_factory=dict)
    _is_undecodable: bool = False

    def found_undecodable(self) -> bool:
        """Whether a record ends the process that decodes it: whoever reads its page again must isolate, too."""
        return self._is_undecodable

    def encode(self, record: object) -> bytes | Rejection:
        """Encode a record of a response that was tried."""
        guilty = self._reasons.get(record_digest(record)) if self._reasons else None
        return guilty or self.inner(record)

    def decode(self, body: bytes) -> JsonValue:
        """Try a response beside the run, set aside what ends the process there, and decode it.

        Raises:
            Undecodable: it is no JSON text.
            SourceError: it ends the process and no single record does, or nothing is to blame.
        """
        with self._lock:
            key = hashlib.sha256(body).digest()
            if key not in self._patches:
                self._patches[key] = self._tried(body)
            return decode(_patched(body, self._patches[key]))

    def _tried(self, body: bytes) -> tuple[_Patch, ...]:
        page = (self.message_type, body, self.records_path)
        if self.whole_first and any(self._survives(encode_page, *page) for _ in range(2)):
            return ()
        slices = record_slices(body, self.records_path) or []
        parts = [body[start:end] for start, end in slices]
        try:
            guilty = self._culprits(parts, encode_records, self.message_type)
            blind = [at for at in guilty if self._culprits([parts[at]], decode_bodies)]
        except NotToBlame:
            raise SourceError(UNRELATED) from None
        patches = tuple(self._set_aside(*slices[at], parts[at]) for at in blind)
        if not any(self._survives(decode_bodies, [_patched(body, patches)]) for _ in range(TRIES_ALONE)):
            raise SourceError(
                f"the process that decodes a page of {len(body)} bytes ends ({self._how}), no record alone does it: "
                "ask for fewer records by SOURCE_PAGE_SIZE or give the run more memory"
            )
        for at in guilty:
            if at not in blind:
                self._blame(parts[at], decode(parts[at]), "encodes", "")
        return patches

    def _culprits(self, parts: Sequence[bytes], task: Task, *before: str) -> list[int]:
        return culprits(
            parts,
            lambda some: self._lives_through(task, before, some),
            self.part,
            idle_survives=lambda: self._survives(do_nothing),
        )

    def _lives_through(self, task: Task, before: Sequence[str], parts: Sequence[bytes]) -> bool:
        lives = self._survives(task, *before, list(parts))
        if not lives and len(parts) == 1:
            self._ends[parts[0]] = self._how
        return lives

    def _survives(self, task: Task, *arguments: object) -> bool:
        try:
            self.child.call(task, *arguments)
        except TaskFailed as failed:
            raise SourceError(f"the process beside the run failed: {failed}") from None
        except Died as died:
            if self.child.is_closed:
                raise SourceError("reading was stopped while a page was tried") from None
            if task is not do_nothing:
                self._how = str(died)
            return False
        return True

    def _set_aside(self, start: int, end: int, part: bytes) -> _Patch:
        stands_for = base64.b64encode(part).decode("ascii")
        self._is_undecodable = True
        self._blame(part, stands_for, "decodes", "; its bytes are kept as base64")
        return _Patch(start, end, json.dumps(stands_for).encode())

    def _blame(self, part: bytes, record: JsonValue, does: str, kept: str) -> None:
        how = self._ends[part]
        reason = f"the record ends the process that {does} it ({how}, {TRIES_ALONE} times in a row){kept}"
        self._reasons[record_digest(record)] = Rejection(reason)
        self.log(LogName.RECORD_ISOLATED, "WARNING", stage="encode", code=how)


def _patched(body: bytes, patches: Sequence[_Patch]) -> bytes:
    pieces, at = list[bytes](), 0
    for patch in patches:
        pieces += [body[at : patch.start], patch.by]
        at = patch.end
    return b"".join([*pieces, body[at:]])
