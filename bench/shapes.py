"""Records of three shapes for the encoder: narrow (5 fields), the flights (19), wide and nested (60)."""

import random
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_tools import protoc

from ops.local.process import ROOT

Record = dict[str, Any]
_STATUSES = ("STATUS_OPEN", "STATUS_PAID", "STATUS_SENT")


@dataclass(frozen=True, slots=True)
class Shape:
    """A message and records of it: the same ones for the same number and seed."""

    name: str
    full_name: str
    make: Callable[[random.Random, int], Record]

    @property
    def message(self) -> type[Message]:
        """The message's class."""
        return GetMessageClass(_pool().FindMessageTypeByName(self.full_name))

    def records(self, count: int, seed: int = 1) -> list[Record]:
        """Return so many records."""
        chance = random.Random(seed)  # noqa: S311 - made-up data
        return [self.make(chance, number) for number in range(count)]


def _narrow(chance: random.Random, number: int) -> Record:
    return {
        "id": number,
        "name": f"name {chance.randrange(10_000)}",
        "amount": chance.randrange(1_000_000) / 100,
        "active": chance.choice((True, False)),
        "visits": chance.randrange(1_000),
    }


def _flight(chance: random.Random, number: int) -> Record:
    hour, minute = chance.randrange(5, 24), chance.randrange(60)
    late = chance.randrange(-15, 120)
    return {
        "year": 2013,
        "month": chance.randrange(1, 13),
        "day": chance.randrange(1, 29),
        "dep_time": hour * 100 + minute,
        "sched_dep_time": hour * 100,
        "dep_delay": late,
        "arr_time": chance.randrange(2400),
        "sched_arr_time": chance.randrange(2400),
        "arr_delay": late + chance.randrange(-20, 20),
        "carrier": chance.choice(("UA", "AA", "B6", "DL")),
        "flight": number % 8_500,
        "tailnum": f"N{chance.randrange(100, 99_999)}",
        "origin": chance.choice(("EWR", "JFK", "LGA")),
        "dest": chance.choice(("IAH", "MIA", "ATL", "ORD")),
        "air_time": chance.randrange(20, 400),
        "distance": chance.randrange(17, 4_983),
        "hour": hour,
        "minute": minute,
        "time_hour": f"2013-{chance.randrange(1, 13):02}-{chance.randrange(1, 29):02}T{hour:02}:00:00Z",
    }


def _wide(chance: random.Random, number: int) -> Record:
    return {
        "order_id": f"order-{number:012}",
        "sequence": number,
        **{name: f"{name}-{chance.randrange(100_000)}" for name in ("customer_id", "session_id", "email_hash")},
        **{name: chance.choice(("web", "app", "shop")) for name in ("channel", "campaign", "referrer")},
        "language": "en",
        "currency": "EUR",
        "status": chance.choice(_STATUSES),
        **{name: chance.randrange(100_000) / 100 for name in ("total", "tax", "shipping", "score", "risk")},
        "discount_total": f"{chance.randrange(10_000)}.{chance.randrange(100):02}",
        **{name: chance.randrange(1_000) for name in ("item_count", "visit_count", "load_ms", "render_ms")},
        "bytes_loaded": chance.randrange(10**9),
        **{name: chance.choice((True, False)) for name in ("first_order", "newsletter", "guest", "test")},
        "created_at": _instant(chance),
        "updated_at": _instant(chance),
        "delivery_day": f"2024-{chance.randrange(1, 13):02}-{chance.randrange(1, 29):02}",
        "billing": {
            **{name: f"{name} {chance.randrange(1_000)}" for name in ("street", "city", "region", "postcode")},
            "country": "DE",
            "latitude": chance.uniform(-90, 90),
            "longitude": chance.uniform(-180, 180),
        },
        "device": {
            **{name: f"{name}{chance.randrange(50)}" for name in ("kind", "maker", "model", "system")},
            "system_version": "17.4.1",
            "width": 1170,
            "height": 2532,
            "touch": True,
        },
        "lines": [_line(chance) for _ in range(2)],
        "tags": ["new", "summer"],
        "experiments": [chance.randrange(1_000) for _ in range(3)],
        "labels": {"store": "12", "team": "north"},
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0",
        "note": None,
        "warehouse": f"w{chance.randrange(20)}",
    }


def _line(chance: random.Random) -> Record:
    return {
        "sku": f"sku-{chance.randrange(10**6)}",
        "title": "A thing of some kind",
        "quantity": chance.randrange(1, 5),
        "price": chance.randrange(100_000) / 100,
        "discount": 0.0,
        "gift": False,
        "options": ["blue"],
    }


def _instant(chance: random.Random) -> str:
    day, rest = f"2024-{chance.randrange(1, 13):02}-{chance.randrange(1, 29):02}", chance.randrange(10**6)
    return f"{day}T{chance.randrange(24):02}:{chance.randrange(60):02}:{chance.randrange(60):02}.{rest:06}Z"


SHAPES: Mapping[str, Shape] = {
    shape.name: shape
    for shape in (
        Shape("narrow", "bench.shapes.Narrow", _narrow),
        Shape("flights", "flights.Flight", _flight),
        Shape("wide", "bench.shapes.Wide", _wide),
    )
}


@cache
def _pool() -> DescriptorPool:
    includes = [f"-I{Path(__file__).parent / 'protos'}", f"-I{ROOT / 'proto'}", f"-I{files('grpc_tools') / '_proto'}"]
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "shapes.binpb"
        arguments = [*includes, "--include_imports", f"--descriptor_set_out={out}", "shapes.proto", "flights.proto"]
        if protoc.main(["protoc", *arguments]) != 0:
            raise RuntimeError("protoc refuses the shapes; its message is on stderr")
        compiled = FileDescriptorSet.FromString(out.read_bytes())
    pool = DescriptorPool()
    for file in compiled.file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool
