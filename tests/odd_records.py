"""Records as sources could send them, made from a message's descriptor: right values in many forms, and hazards."""

import random
import string
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from ingestor.binding import binding, dropped, is_map

Record = dict[str, Any]
NAN, INFINITY = float("nan"), float("inf")
TIMES: Sequence[Any] = (
    *(
        "2013-01-01T10:00:00Z",
        "2013-01-01 10:00:00.5Z",
        "2024-02-29T23:59:59.123456Z",
        "2013-01-01T10:00:00.123456789Z",
    ),
    *("2013-01-01T10:00:00+05:30", "2013-01-01T10:00:00.25-08:00", "2013-01-01T10:00:00+0530"),
    *("2013-01-01T10:00:00 UTC", "2013-01-01t10:00:00z", "2013-01-01T10:00:00,5Z", "2013-01-01T10:00:00+05"),
    *("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-01:00"),
    *("2013-01-01T24:00:00Z", "2013-01-01T23:59:60Z", "2013-01-01T10:00:00+24:00", "2013-01-01T10:00:00+05:99"),
    *("2013-W01-1T10:00:00Z", "20130101T100000Z", "2013-01-01T10:00:00.Z", "2013-01-01T10:00:00.123456.7Z"),
    *("2013-01-01T10:00:00+05:30:15", "0000-01-01T00:00:00Z", "\uff12013-01-01T10:00:00Z", "2013-01-01X10:00:00Z"),
    *("2013-01-01T10:00:00", "2013-01-01T24:00:00", "2013-01-01 23:59:60", "2013-W01-1 10:00:00"),
    *("2013-01-01", "2013-02-30", "2013-001", "20130131", "2013-1-5", "2013-W01-1", "0001-01-01", "9999-12-31"),
    *("10:00", "10:00:00.5", "23:59:60", "7:05", "24:00:00", "10:00:00.1234567", "1-2 3 4:5:6.7", "P1Y2M3DT4H5M6.7S"),
    *("1.5s", "0-0 1 2:30:00", "[2013-01-01, 2014-01-01)", "[,2014-01-01)", "[2014-01-01,2013-01-01)", "[a,b)"),
    *(0, 1, -1, 15_706, 1_357_034_400, 1_357_034_400_000, 1_357_034_400_000_000, -719_162, 2_932_896, 2_932_897),
    *("1357034400", "1357034400.5", 1_357_034_400.25, 1e30, 10**25, True),
    *({"start": "2013-01-01", "end": None}, {"start": "2013-01-01T00:00:00", "end": "2013-01-02"}, {"begin": 1}),
)
NUMBERS: Sequence[Any] = (
    *(0, 1, -1, 7, 127, 128, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**32 - 1, 2**32, 2**53 + 1, 2**63 - 1, 2**63),
    *(-(2**63), -(2**63) - 1, 2**64 - 1, 2**64, 10**29, 10**30, 10**400, 0.0, -0.0, 1.0, 1.5, -2.0, 0.1, 1e15, 1e16),
    *(1e300, 3.5e38, -3.5e38, 3.4028234663852886e38, 5e-324, 123456789012345.6, 1234567890123456.7, 1e-7, 12.5, 99.99),
    *(0.30000000000000004, -0.1234567890123456, 10**38, 10**39, NAN, INFINITY, -INFINITY, True, False),
)
TEXTS: Sequence[Any] = (
    *("", "text", "é𝄞", "\0", "\ud800", "a\udc00", "\ud800\udc00", "x" * 300, " ", "null", "true", "false", "TRUE"),
    *("1", "12", "-12", "+12", " 12", "12 ", "12\n", "1_000", "\uff11\uff12", "007", "-0", "0", "1.0", "1.5", "1e3"),
    *("12.50", "-0.00", "0.000000001", "0.0000000001", "9" * 29 + ".999999999", "1" * 30, "1" * 20, str(2**63)),
    *(".5", "5.", "00.5", "-.5", "1.10\n", "NaN", "nan", "Infinity", "-Infinity", "inf", "0x10"),
    *("9223372036854775807", "-9223372036854775808", "QUJD", "QUI=", "QQ==", "QQ", "Q", "Q=", "QQ=", "QQ===", "_-8"),
    *("/+8=", "QUI\nQQ==", "not base64!", "QQ==QQ==", "GRADE_HIGH", "GRADE_NONE", "GRADE_LOW", "GRADE_HIGH\ud800"),
    *("STATUS_OPEN", "STATUS_CLOSED", "KIND_A", "grade_high"),
    *('{"a": 1}', "[1, 2", '{"a": NaN}', "POINT(-73.8 40.6)", '{"type": "Point"}', "{", "[]"),
)
STRUCTURES: Sequence[Any] = (
    *(None, [], {}, [None], [[]], [{}], {"": None}, [1], ["a", None], {"a": 1}, [1, "2", 3.0], ["abc", "d"], [True]),
    *({"type": "Point", "coordinates": [1, 2]}, {"a": {"b": [1, {"c": NAN}]}}, [NAN], {"value": 3}, {"seconds": 5}),
)
ANYTHING = (*NUMBERS, *TEXTS, *STRUCTURES, *TIMES)
STRANGE_KEYS = ("extra", "newUpstream", "[a.b]", "[]", "[a", "", "\ud800", "[samples.x]\n", "value", "key", "x" * 250)


def _instant(chance: random.Random) -> str:
    day = f"{chance.randrange(1, 9999):04}-{chance.randrange(1, 13):02}-{chance.randrange(1, 29):02}"
    clock = f"{chance.randrange(24):02}:{chance.randrange(60):02}:{chance.randrange(60):02}"
    fraction = chance.choice(("", ".5", f".{chance.randrange(10**6):06}"))
    return day + chance.choice("T ") + clock + fraction + chance.choice(("Z", "+05:30", "-11:00", "+00:00"))


_BY_TYPE: Mapping[str, Callable[[random.Random], Any]] = {
    "INT64": lambda chance: chance.choice((chance.randrange(1000), chance.randrange(-(2**31), 2**31), "12", 3.0, 0)),
    "FLOAT64": lambda chance: chance.choice((chance.uniform(-1e3, 1e3), chance.randrange(100), 0.0, -0.0, 1e300, 0.5)),
    "BOOL": lambda chance: chance.choice((True, False)),
    "STRING": lambda chance: "".join(chance.choices(string.printable + "é𝄞", k=chance.randrange(12))),
    "BYTES": lambda chance: chance.choice(("QUJD", "QUI=", "QQ==", "_-8", "QQ", "")),
    "NUMERIC": lambda chance: chance.choice((12.5, 7, "12.50", f"{chance.uniform(-1e5, 1e5):.9f}", "1e3", 0.0, "-0.0")),
    "JSON": lambda chance: chance.choice(({"a": [1, None]}, [1], "text", 5, 1.5, True, '{"a": 1}', "")),
    "GEOGRAPHY": lambda chance: chance.choice(("POINT(1 2)", {"type": "Point", "coordinates": [1, 2]})),
    "DATE": lambda chance: chance.choice((f"{chance.randrange(1, 9999):04}-0{chance.randrange(1, 9)}-11", 15_706)),
    "DATETIME": lambda chance: (
        f"20{chance.randrange(10, 99)}-01-01{chance.choice('T ')}10:00:{chance.randrange(10, 59)}"
    ),
    "TIME": lambda chance: f"{chance.randrange(24):02}:{chance.randrange(60):02}:00",
    "INTERVAL": lambda chance: chance.choice(("1.5s", "P1DT2H", "0-0 1 2:30:00", 90)),
    "TIMESTAMP": _instant,
}


class Maker:
    """Makes records of one message; the same ones for the same seed.

    Args:
        message: the user's message.
        seed: of everything that is chosen.
        hazards: how many values or keys of a record are replaced by odd ones, on average.
    """

    def __init__(self, message: Descriptor, seed: int, *, hazards: float) -> None:
        self._message, self._chance, self._hazards = message, random.Random(seed), hazards  # noqa: S311 - test data

    def record(self) -> Record:
        """Return the next record."""
        record = self._record(self._message)
        while self._chance.random() < self._hazards / (1 + self._hazards):
            self._spoil(record, self._message)
        return record

    def _record(self, message: Descriptor) -> Record:
        chance, taken = self._chance, set[str]()
        dense = chance.choice((0.3, 0.9))
        fields = [f for f in message.fields if not dropped(f) and (chance.random() < dense or f.name == "id")]
        record: Record = {}
        for each in chance.sample(fields, len(fields)) if chance.random() < 0.5 else fields:
            oneof = each.containing_oneof
            if oneof is not None:
                if oneof.name in taken:
                    continue
                taken.add(oneof.name)
            record[each.json_name if chance.random() < 0.05 else each.name] = self._value(each)
        return record

    def _value(self, member: FieldDescriptor) -> Any:
        chance = self._chance
        type_ = binding(member).type
        if is_map(member) and type_ == "RECORD":
            assert member.message_type is not None
            entry = member.message_type.fields_by_name
            keys = chance.sample(_KEYS[entry["key"].cpp_type], chance.randrange(3))
            return {key: self._value(entry["value"]) for key in keys}
        if not member.is_repeated or is_map(member):
            return self._one(member)
        return [self._one(member) for _ in range(chance.choice((0, 1, 1, 2, 3)))]

    def _one(self, member: FieldDescriptor) -> Any:
        chance, type_ = self._chance, binding(member).type
        if member.enum_type is not None:
            known = chance.choice(list(member.enum_type.values))
            return chance.choice((known.name, known.name, known.number, str(known.number)))
        if type_ == "RECORD":
            assert member.message_type is not None
            return self._record(member.message_type)
        if type_.startswith("RANGE"):
            day = f"20{chance.randrange(10, 50)}-01-01"
            bounds = (day, "2077-02-01") if type_ == "RANGE<DATE>" else (f"{day}T00:00:00", "2077-02-01T00:00:00")
            start, end = (f"{bound}Z" for bound in bounds) if type_ == "RANGE<TIMESTAMP>" else bounds
            return chance.choice((f"[{start}, {end})", {"start": start, "end": end}, {"start": start}, {"end": None}))
        return _BY_TYPE[{"BIGNUMERIC": "NUMERIC"}.get(type_, type_)](chance)

    def _anything(self) -> Any:
        """Return a copy: a record may be spoilt below as well."""
        return deepcopy(self._chance.choice(ANYTHING))

    def _spoil(self, record: Record, message: Descriptor) -> None:
        """Put one hazard into the record or into a record below it."""
        chance = self._chance
        below = [
            (value, f.message_type)
            for f in message.fields
            for value in _records(record.get(f.name))
            if f.message_type is not None and f.message_type.fields and not is_map(f)
        ]
        if below and chance.random() < 0.5:
            return self._spoil(*chance.choice(below))
        member = chance.choice(list(message.fields))
        match chance.randrange(7):
            case 0:
                record[chance.choice(STRANGE_KEYS)] = self._anything()
            case 1:
                record[member.json_name] = self._anything()
            case 2:
                record[member.name] = None
            case 3 if isinstance(record.get(member.name), list):
                record[member.name] = [*record[member.name], self._anything()]
            case 4 if isinstance(record.get(member.name), dict):
                record[member.name] = {
                    **record[member.name],
                    chance.choice(("7", "a", "+1")): self._anything(),
                }
            case 5 if isinstance(record.get(member.name), str) and record[member.name]:
                text = record[member.name]
                place = chance.randrange(len(text))
                record[member.name] = (
                    text[:place] + chance.choice("09 -+.:TZ_é\ud800") + text[place + chance.randrange(2) :]
                )
            case _:
                record[member.name] = self._anything()
        return None


def _records(value: object) -> list[Record]:
    if isinstance(value, dict):
        return [value]
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


_TEXT_KEYS = ["a", "", "b\0", "é", "\ud800"]
_NUMBER_KEYS = ["0", "1", "-5", "007", "1_0", " 1", "2147483648", "x", "1.0"]
_KEYS: Mapping[int, list[str]] = {
    FieldDescriptor.CPPTYPE_STRING: _TEXT_KEYS,
    FieldDescriptor.CPPTYPE_BOOL: ["true", "false", "True", "1"],
    FieldDescriptor.CPPTYPE_INT32: _NUMBER_KEYS,
    FieldDescriptor.CPPTYPE_INT64: _NUMBER_KEYS,
    FieldDescriptor.CPPTYPE_UINT32: _NUMBER_KEYS,
    FieldDescriptor.CPPTYPE_UINT64: _NUMBER_KEYS,
}
