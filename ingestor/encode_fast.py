"""The encoder that runs use: a plan generated once for the message, and the reference for what the plan is unsure of.

Same bytes or same rejection as `ingestor.encode.Encoder`, always; tests/property/test_encoders_agree.py compares them.
The plan is Python source (`ingestor.encode_plan`), executed once when the encoder is made. Pure.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from ingestor.descriptor import walk
from ingestor.encode import MAX_ROW_BYTES, Encoder, Rejection
from ingestor.encode_plan import NoPlan, plan_of
from ingestor.encode_values import Unsure
from ingestor.messages import descriptor_of
from ingestor.unknown import UnknownFields


def source_of(message: Descriptor) -> str:
    """Return the source of the message's plan, or a comment on why it has none.

    Raises:
        SchemaMismatch: the message can't be a table.
    """
    for _ in walk(message):
        pass
    try:
        return plan_of(message).source
    except NoPlan as error:
        return f"# No plan, the reference encoder takes every record: {error}\n"


class FastEncoder:
    """Encodes records of one message type. Between records it only remembers which unknown fields it met.

    Attributes:
        unknown_fields: as `Encoder.unknown_fields`.
        left_to_reference: how many records the plan was unsure of.
    """

    def __init__(self, message_class: type[Message]) -> None:
        """Write and compile the plan.

        Raises:
            SchemaMismatch: the message can't be a table.
        """
        self._reference = Encoder(message_class)
        self._unknown: UnknownFields = self._reference.unknown
        self.unknown_fields: Mapping[str, int] = self._reference.unknown_fields
        self.left_to_reference = 0
        self._strange: list[str] = []
        self._plan = self._compiled(message_class)

    def encode(self, record: object) -> bytes | Rejection:
        """Return the serialized row, or why there is none. Never raises for anything a JSON decoder can yield."""
        strange = self._strange
        try:
            row = self._plan(record)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - whatever it is, the reference says what it means
            row = None
        if row is None or len(row) > MAX_ROW_BYTES:
            strange.clear()
            self.left_to_reference += 1
            return self._reference.encode(record)
        if strange:
            strange.clear()
            self._unknown.count(cast("dict[str, Any]", record))
        return row

    def _compiled(self, message_class: type[Message]) -> Callable[[object], bytes | None]:
        try:
            plan = plan_of(descriptor_of(message_class))
        except NoPlan:
            return lambda _: None
        namespace = {**plan.names, "Row": plan.row, "tidied": self._tidied}
        exec(compile(plan.source, f"<encoder plan of {descriptor_of(message_class).full_name}>", "exec"), namespace)  # noqa: S102 - written by ingestor.encode_plan from a descriptor, nothing else
        return cast("Callable[[object], bytes]", namespace["encode"])

    def _tidied(self, record: dict[str, Any], keys: frozenset[str], aliases: Mapping[str, str]) -> dict[str, Any]:
        """Return the record with its fields under their own names, and remember whether it has others.

        Raises:
            Unsure: it has a field twice, or a key that could be meant for a protobuf extension.
        """
        renamed: dict[str, Any] | None = None
        for key in record.keys() - keys:
            name = aliases.get(key)
            if name is None:
                if key[:1] == "[":
                    raise Unsure
                key.encode()  # a lone surrogate stops `ParseDict`, even in a name that it has no use for
                self._strange.append(key)
            elif name in record:
                raise Unsure
            else:
                renamed = dict(record) if renamed is None else renamed
                renamed[name] = renamed.pop(key)
        return record if renamed is None else renamed
