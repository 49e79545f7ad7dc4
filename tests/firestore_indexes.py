"""Whether `firestore.indexes.json` covers a query. The emulator needs no indexes, so this is what says it.

Rules from Firestore's documentation, "Index types" and "Query data: index overview": one field is indexed by itself
unless it is exempt; equalities alone are answered by merging such indexes; with an order or a range a composite index
is needed whose last fields are the ordered ones, and several such indexes are merged when together they hold every
equality.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[1] / "firestore.indexes.json"
ASCENDING, DESCENDING = "ASCENDING", "DESCENDING"
_EQUAL = 5
"""StructuredQuery.FieldFilter.Operator.EQUAL."""
_NAME = "__name__"


@dataclass(frozen=True)
class Asked:
    """What a query needs of indexes: its collection, the fields that must be equal, and the order with directions."""

    collection: str
    equal: frozenset[str]
    order: tuple[tuple[str, str], ...]


def asked(query: Any) -> Asked:
    """Read a StructuredQuery."""
    (selector,) = query["from"] if isinstance(query, Mapping) else query.from_
    equal, ranged = set(), []
    for one in _filters(query.where):
        if int(one.op) == _EQUAL:
            equal.add(one.field.field_path)
        else:
            ranged.append(one.field.field_path)
    order = [(each.field.field_path, DESCENDING if int(each.direction) == 2 else ASCENDING) for each in query.order_by]
    order = order or [(field, ASCENDING) for field in ranged[:1]]
    if len(order) > 1 and order[-1][0] == _NAME and order[-1][1] == order[-2][1]:
        order.pop()  # every index ends with the name in the direction of its last field
    return Asked(selector.collection_id, frozenset(equal), tuple(order))


def _filters(where: Any) -> Iterator[Any]:
    if where.composite_filter.filters:
        for each in where.composite_filter.filters:
            yield from _filters(each)
    elif where.field_filter.field.field_path:
        yield where.field_filter


@dataclass(frozen=True)
class Indexes:
    """The composite indexes and the exempt fields of the file."""

    composite: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    exempt: frozenset[tuple[str, str]]

    def used_by(self, query: Asked) -> frozenset[int] | None:
        """Return the composite indexes that answer the query, by their places; None when they do not."""
        fields = {*query.equal, *(field for field, _ in query.order)} - {_NAME}
        single = not any((query.collection, field) in self.exempt for field in fields)
        if len(fields) <= 1 or not query.order or query.order[0][0] == _NAME:
            return frozenset() if single else None
        fitting = {
            place: frozenset(field for field, _ in index[: -len(query.order)])
            for place, (collection, index) in enumerate(self.composite)
            if collection == query.collection and _ends_with(index, query.order)
        }
        useful = {place: equal for place, equal in fitting.items() if equal <= query.equal}
        whole = frozenset().union(*useful.values()) == query.equal and bool(useful)
        return frozenset(useful) if whole else None


def _ends_with(index: tuple[tuple[str, str], ...], order: tuple[tuple[str, str], ...]) -> bool:
    end = index[-len(order) :]
    turned = tuple((field, ASCENDING if way == DESCENDING else DESCENDING) for field, way in end)
    return order in {end, turned}


def read(content: Mapping[str, Any]) -> Indexes:
    """Read the file's content."""
    composite = tuple(
        (one["collectionGroup"], tuple((field["fieldPath"], field["order"]) for field in one["fields"]))
        for one in content["indexes"]
    )
    overrides = content["fieldOverrides"]
    exempt = frozenset((one["collectionGroup"], one["fieldPath"]) for one in overrides if not one["indexes"])
    return Indexes(composite, exempt)


SHIPPED = read(json.loads(FILE.read_text()))
