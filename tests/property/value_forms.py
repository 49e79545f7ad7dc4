"""Forms in which sources write a value of each BigQuery type, with the value: hypothesis strategies."""

import base64
import json
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from ops.local.storage_write_values import Interval

Form = tuple[Any, Any]
"""What the source writes, and what the table then holds."""

GRADES = {"GRADE_UNSPECIFIED": 0, "GRADE_NONE": 0, "GRADE_HIGH": 7, "GRADE_LOW": -3}
NAMES = {0: "GRADE_UNSPECIFIED", 7: "GRADE_HIGH", -3: "GRADE_LOW"}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_CIVIL, LAST_CIVIL = datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999_999)  # noqa: DTZ001 - civil time
LARGEST_BIGNUMERIC = Decimal(f"{2**255}E-38")


def same(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Form]:
    return values.map(lambda value: (value, value))


def either(*forms: st.SearchStrategy[Form]) -> st.SearchStrategy[Form]:
    return st.one_of(*forms)


INT64 = st.integers(-(2**63), 2**63 - 1)
INTEGERS = either(same(INT64), INT64.map(lambda n: (str(n), n)))
FLOATS = either(same(st.floats(allow_nan=False, allow_infinity=False)), same(st.integers(-(2**53), 2**53)))
TEXTS = same(st.text())
BYTES = st.binary().flatmap(
    lambda data: st.sampled_from(
        [
            (base64.b64encode(data).decode(), data),
            (base64.urlsafe_b64encode(data).decode(), data),
            (base64.urlsafe_b64encode(data).decode().rstrip("="), data),
            (base64.encodebytes(data).decode(), data),
        ]
    )
)


def decimals(digits: int, scale: int) -> st.SearchStrategy[Form]:
    """Of at most so many digits, `scale` of them after the point: as text in both notations, as numbers where exact."""
    unscaled = st.integers(-(10**digits) + 1, 10**digits - 1) | st.sampled_from([0, 10**digits - 1, -(10**digits) + 1])
    exact = st.builds(lambda number, places: Decimal(f"{number}E-{places}"), unscaled, st.integers(0, scale))
    texts = exact.flatmap(lambda d: st.sampled_from([(f"{d:f}", d), (f"{d:e}", d), (f"{d:E}".replace("E-", "e-"), d)]))
    return either(
        texts, INT64.map(lambda n: (n, Decimal(n))), st.sampled_from([(0.1, Decimal("0.1")), (1e3, Decimal(1000))])
    )


NUMERICS, BIGNUMERICS = (
    decimals(38, 9).filter(lambda form: form[1].copy_abs() < 10**29),
    decimals(76, 38).filter(lambda form: form[1].copy_abs() < LARGEST_BIGNUMERIC),
)
DATES = st.dates() | st.sampled_from([date.min, date.max])
DAYS = DATES.flatmap(
    lambda d: st.sampled_from([(d.isoformat(), d), ((d - EPOCH.date()).days, d), (f"{d:%Y%m%d}".zfill(8), d)])
)
CIVILS = st.datetimes() | st.sampled_from([FIRST_CIVIL, LAST_CIVIL])
DATETIMES = CIVILS.flatmap(lambda d: st.sampled_from([(d.isoformat(), d), (d.isoformat(" "), d)]))
TIMES = (st.times() | st.sampled_from([time.min, time.max])).map(lambda t: (t.isoformat(), t))
OFFSETS = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


def instants() -> st.SearchStrategy[Form]:
    moments = CIVILS.map(lambda d: d.replace(tzinfo=UTC))
    anywhere = st.builds(lambda m, zone: (local(m, zone), m), moments, OFFSETS)
    microseconds = moments.filter(lambda m: abs(us(m)) >= 10**14).map(lambda m: (us(m), m))
    return either(
        anywhere,
        moments.map(lambda m: (f"{m:%Y-%m-%dT%H:%M:%S}".zfill(19) + f".{m.microsecond:06d}999Z", m)),
        microseconds,
    )


def local(moment: datetime, zone: timezone) -> str:
    try:
        return moment.astimezone(zone).isoformat()
    except OverflowError:
        return moment.isoformat()


def us(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


JSON = st.recursive(
    st.none() | st.booleans() | INT64 | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def json_forms(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Form]:
    """The value itself; objects and arrays as text too. Text that is an object or array would mean that."""
    plain = values.filter(lambda v: not (isinstance(v, str) and v.strip()[:1] in ("{", "[")))
    return either(same(plain), plain.filter(lambda v: isinstance(v, dict | list)).map(lambda v: (json.dumps(v), v)))


GEOGRAPHIES = st.sampled_from(
    [
        ("POINT(-73.8 40.6)", "POINT(-73.8 40.6)"),
        ({"type": "Point", "coordinates": [-73.8, 40.6]}, '{"type":"Point","coordinates":[-73.8,40.6]}'),
    ]
)


@st.composite
def intervals(draw: st.DrawFn) -> Form:
    months, days = draw(st.integers(-120_000, 120_000)), draw(st.integers(-3_660_000, 3_660_000))
    micros = draw(st.integers(-(10**15), 10**15))
    wanted = Interval(months, days, micros)
    seconds, fraction = divmod(abs(micros), 10**6)
    clock = f"{'-' if micros < 0 else ''}{seconds // 3600}:{seconds // 60 % 60}:{seconds % 60}.{fraction:06d}"
    canonical = f"{'-' if months < 0 else ''}{abs(months) // 12}-{abs(months) % 12} {days} {clock}"
    iso = f"P{months}M{days}DT{'-' if micros < 0 else ''}{seconds}.{fraction:06d}S"
    proto = f"{'-' if micros < 0 else ''}{seconds}.{fraction:06d}s"
    only = Interval(0, 0, micros)
    return draw(
        st.sampled_from([(canonical, wanted), (iso, wanted), (proto, only), (seconds, Interval(0, 0, seconds * 10**6))])
    )


def ranges(bounds: st.SearchStrategy[Form]) -> st.SearchStrategy[Form]:
    def forms(first: Form, second: Form) -> st.SearchStrategy[Form]:
        low, high = sorted((first, second), key=lambda form: form[1])
        whole = {"start": low[1], "end": high[1]}
        return st.sampled_from(
            [
                ({"start": low[0], "end": high[0]}, whole),
                (f"[{low[0]}, {high[0]})", whole),
                ({"start": low[0]}, {"start": low[1], "end": None}),
                ({"start": None, "end": high[0]}, {"start": None, "end": high[1]}),
                (f"[UNBOUNDED, {high[0]})", {"start": None, "end": high[1]}),
                ("[,)", {"start": None, "end": None}),
            ]
        )

    pairs = st.tuples(bounds, bounds).filter(lambda pair: pair[0][1] != pair[1][1])
    return pairs.flatmap(lambda pair: forms(*pair))


ENUMS = st.sampled_from([(given, number) for name, number in GRADES.items() for given in (name, number, str(number))])
ENUM_NAMES = ENUMS.map(lambda form: (form[0], NAMES[form[1]]))
ISO_DATES = DATES.map(lambda d: (d.isoformat(), d))
ISO_CIVILS = CIVILS.map(lambda d: (d.isoformat(), d))
ISO_INSTANTS = CIVILS.map(lambda d: (d.replace(tzinfo=UTC).isoformat(), d.replace(tzinfo=UTC)))


def listed(forms: st.SearchStrategy[Form]) -> st.SearchStrategy[Form]:
    return st.lists(forms, max_size=3).map(lambda pairs: ([p[0] for p in pairs], [p[1] for p in pairs]))


NOTHING = st.sampled_from([("absent", None), (None, None)])


def optional(forms: st.SearchStrategy[Form]) -> st.SearchStrategy[Form]:
    return either(NOTHING, forms, forms, forms)


def structure(parts: dict[str, st.SearchStrategy[Form]], empty: dict[str, Any]) -> st.SearchStrategy[Form]:
    def pair(drawn: dict[str, Form]) -> Form:
        given = {name: form[0] for name, form in drawn.items() if form[0] != "absent"}
        return given, {**empty, **{name: form[1] for name, form in drawn.items()}}

    return st.fixed_dictionaries({name: optional(forms) for name, forms in parts.items()}).map(pair)


PART = structure({"text": TEXTS, "amount": NUMERICS, "days": listed(DAYS)}, {}).map(
    lambda form: (form[0], {**form[1], "days": form[1]["days"] or []})
)
MAPS = st.dictionaries(st.text(max_size=4), PART, max_size=3).map(
    lambda pairs: (
        {key: form[0] for key, form in pairs.items()},
        sorted(({"key": key, "value": form[1]} for key, form in pairs.items()), key=lambda entry: str(entry["key"])),
    )
)
COLUMNS: dict[str, st.SearchStrategy[Form]] = {
    "c_int64": INTEGERS,
    "c_float64": FLOATS,
    "c_bool": same(st.booleans()),
    "c_string": TEXTS,
    "c_bytes": BYTES,
    "c_numeric": NUMERICS,
    "c_bignumeric": BIGNUMERICS,
    "c_date": DAYS,
    "c_datetime": DATETIMES,
    "c_time": TIMES,
    "c_timestamp": instants(),
    "c_json": json_forms(JSON.filter(lambda value: value is not None)),
    "c_geography": GEOGRAPHIES,
    "c_interval": intervals(),
    "c_range_date": ranges(ISO_DATES),
    "c_range_datetime": ranges(ISO_CIVILS),
    "c_range_timestamp": ranges(ISO_INSTANTS),
    "c_enum": ENUMS,
    "c_enum_name": ENUM_NAMES,
    "c_struct": PART,
}
LISTS: dict[str, st.SearchStrategy[Form]] = {
    "c_structs": listed(PART),
    "c_int64s": listed(INTEGERS),
    "c_numerics": listed(NUMERICS),
    "c_timestamps": listed(instants()),
    "c_jsons": listed(json_forms(JSON)),
    "c_ranges": listed(ranges(ISO_DATES)),
    "c_map": MAPS,
    "c_enums": listed(ENUMS),
    "c_byteses": listed(BYTES),
}
