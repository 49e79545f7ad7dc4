"""One record to one serialized row: this project's encoder against ways without a plan, by turns in one process.

- `ours`: the generated plan of `ingestor.encode_fast`, conversions of TIMESTAMP, DATE and the like included;
- `ParseDict`: the plain way: instants and days by `datetime`, then `json_format.ParseDict(ignore_unknown_fields=True)`
  and serialization;
- `reference`: `ingestor.encode`, which converts, counts unknown fields and calls ParseDict: what the plan must equal;
- `constructor`: `Message(**record)`, as other packages do it, conversions likewise; it accepts and refuses other values
  than ParseDict does.
"""

import time
from collections.abc import Callable, Sequence
from datetime import date, datetime
from statistics import median

from google.protobuf.json_format import ParseDict

from bench.results import Bar, Result
from bench.shapes import SHAPES, Record, Shape
from bench.world import World
from ingestor.encode import Encoder
from ingestor.encode_fast import FastEncoder
from ingestor.messages import descriptor_of
from ingestor.wire import wire_class

NAME = "encode"
NEEDS_FIRESTORE = False
ROWS = 4_000
ROUNDS = 7
LEAST = {"narrow": 8.0, "flights": 8.0, "wide": 10.0}
INSTANTS, DAYS = ("time_hour", "seen_at", "created_at", "updated_at"), ("delivery_day",)
EPOCH_DAY = date(1970, 1, 1).toordinal()


def measure(_: World, rows: int = ROWS) -> Result:
    """Measure every shape."""
    figures: list[dict[str, int | float | str]] = []
    bars, named = [], {}
    for name, shape in SHAPES.items():
        times = _by_turns(ways_of(shape), shape.records(rows))
        for way, seconds in times.items():
            ratio = seconds / times["ours"]
            figures.append(
                {"shape": name, "way": way, "µs/row": round(seconds * 1e6, 2), "ours to it": round(ratio, 1)}
            )
        ratio = round(times["ParseDict"] / times["ours"], 1)
        bars.append(Bar(f"{name}: times ParseDict", LEAST[name], ratio, at_least=True))
        named[name] = {"ratio": ratio}
    return Result(NAME, "Encoding one record", {"records": rows, "rounds": ROUNDS}, figures, bars, named)


def ways_of(shape: Shape) -> dict[str, Callable[[Record], object]]:
    """Return each way by its name."""
    message = wire_class(descriptor_of(shape.message))

    def parse_dict(record: Record) -> bytes:
        data: bytes = ParseDict(converted(record), message(), ignore_unknown_fields=True).SerializeToString()
        return data

    def constructor(record: Record) -> bytes:
        data: bytes = message(**converted(record)).SerializeToString()
        return data

    return {
        "ours": FastEncoder(shape.message).encode,
        "ParseDict": parse_dict,
        "reference": Encoder(shape.message).encode,
        "constructor": constructor,
    }


def converted(record: Record) -> Record:
    """Return the record with instants as microseconds and days as numbers, as they are on the wire."""
    found = dict(record)
    for name in INSTANTS:
        if isinstance(found.get(name), str):
            found[name] = int(datetime.fromisoformat(found[name]).timestamp() * 1_000_000)
    for name in DAYS:
        if isinstance(found.get(name), str):
            found[name] = date.fromisoformat(found[name]).toordinal() - EPOCH_DAY
    return found


def _by_turns(ways: dict[str, Callable[[Record], object]], records: Sequence[Record]) -> dict[str, float]:
    """Return the median CPU seconds a record of each way."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            began = time.process_time()
            for record in records:
                way(record)
            times[name].append((time.process_time() - began) / len(records))
    return {name: median(found) for name, found in times.items()}
