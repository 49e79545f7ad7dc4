"""The encoder that runs use: a plan generated once for the message, and the reference for what the plan is unsure of.

Same bytes or same rejection as `ingestor.encode.Encoder`, always; tests/property/test_encoders_agree.py compares them.
The plan is Python source (`ingestor.encode_plan`), executed once when the encoder is made. Sources send record after
record with the same keys in the same order: for an order that comes often a plan of its own is written. Pure.
"""

from collections import Counter
from collections.abc import Callable, KeysView, Mapping
from typing import Any, cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from ingestor.convert import Convert
from ingestor.descriptor import walk
from ingestor.encode import MAX_ROW_BYTES, Encoder, Rejection
from ingestor.encode_fields import NoPlan, is_only_unknown
from ingestor.encode_plan import plan_of
from ingestor.encode_values import Unsure
from ingestor.messages import descriptor_of
from ingestor.unknown import MAX_NAME, MAX_NAMES, UnknownFields

_Plan = Callable[[object], bytes | None]
_ORDERS_COUNTED = 64
"""Orders of keys that are counted at once; with one more the counting begins anew."""


def source_of(message: Descriptor, order: tuple[str, ...] | None = None) -> str:
    """Return the source of the message's plan, or of that for an order of keys, or a comment on why there is none.

    Raises:
        SchemaMismatch: the message can't be a table.
    """
    for _ in walk(message):
        pass
    try:
        general = plan_of(message).source
    except NoPlan as error:
        return f"# No plan, the reference encoder takes every record: {error}\n"
    try:
        return plan_of(message, order).source if order else general
    except NoPlan as error:
        return f"# No plan for these keys, the general one takes such records: {error}\n"


class FastEncoder:
    """Encodes records of one message type. Between records it remembers which unknown fields it met, how often an order
    of keys came, what its conversions made of the last texts, and the plans of few orders: nothing that changes a row.

    Attributes:
        unknown_fields: as `Encoder.unknown_fields`.
        left_to_reference: how many records the plan was unsure of.
    """

    def __init__(self, message_class: type[Message], *, alike: int = 32, most: int = 8) -> None:
        """Write and compile the plan; for an order of keys that `alike` records had, for `most` orders in all, later.

        Raises:
            SchemaMismatch: the message can't be a table.
        """
        self._message = descriptor_of(message_class)
        self._reference = Encoder(message_class)
        self._unknown: UnknownFields = self._reference.unknown
        self.unknown_fields: Mapping[str, int] = self._reference.unknown_fields
        self.left_to_reference = 0
        self._strange: list[bool] = []
        self._alike, self._most, self._widest = alike, most, len(self._message.fields) + MAX_NAMES
        self._conversions = dict[str, Convert]()
        self._plan = self._compiled() or (lambda _: None)
        self._of_order = dict[tuple[str, ...], _Plan]()
        self._met = Counter[int]()

    def encode(self, record: object) -> bytes | Rejection:
        """Return the serialized row, or why there is none. Never raises for anything a JSON decoder can yield."""
        strange = self._strange
        try:
            if type(record) is dict:
                order = tuple(record)
                row = (self._of_order.get(order) or self._plan_for(order))(record)
            else:
                row = None
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

    @property
    def known_orders(self) -> KeysView[tuple[str, ...]]:
        """The orders of keys that have plans of their own, or are known to need the general one."""
        return self._of_order.keys()

    def _plan_for(self, order: tuple[str, ...]) -> _Plan:
        """Return the plan for an order that has none of its own yet, which it gets when it came often enough.

        Orders are counted by their hash, so that a source's keys are not kept; one that is taken for another has its
        plan sooner.
        """
        if len(self._of_order) >= self._most or len(order) > self._widest:
            return self._plan
        met, key = self._met, hash(order)
        met[key] += 1
        if met[key] < self._alike:
            if len(met) > _ORDERS_COUNTED:
                met.clear()
            return self._plan
        if max(map(len, order), default=0) > MAX_NAME:
            return self._plan
        self._of_order[order] = self._compiled(order) or self._plan
        return self._of_order[order]

    def _compiled(self, order: tuple[str, ...] | None = None) -> _Plan | None:
        try:
            plan = plan_of(self._message, order, self._conversions)
        except NoPlan:
            return None
        namespace = {**plan.names, "Row": plan.row, "tidied": self._tidied, "strange": self._strange}
        exec(compile(plan.source, f"<encoder plan of {self._message.full_name}>", "exec"), namespace)  # noqa: S102 - written by ingestor.encode_plan from a descriptor; of a record's keys only their places enter it
        return cast("_Plan", namespace["encode"])

    def _tidied(self, record: dict[str, Any], keys: frozenset[str], aliases: Mapping[str, str]) -> dict[str, Any]:
        """Return the record with its fields under their own names, and remember whether it has others.

        Raises:
            Unsure: it has a field twice, or a key that could be meant for a protobuf extension.
        """
        renamed: dict[str, Any] | None = None
        for key in record.keys() - keys:
            name = aliases.get(key)
            if name is None:
                if not is_only_unknown(key):
                    raise Unsure
                self._strange.append(True)
            elif name in record:
                raise Unsure
            else:
                renamed = dict(record) if renamed is None else renamed
                renamed[name] = renamed.pop(key)
        return record if renamed is None else renamed
