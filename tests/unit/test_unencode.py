"""A row turned back into a record: one that encodes to the same row, or none."""

import pytest

from ingestor.decode import canonical_json, decode
from ingestor.encode import Encoder, Rejection
from ingestor.messages import descriptor_of
from ingestor.unencode import unencoder
from tests.odd_records import Maker
from tests.property.test_encoders_agree import MESSAGES

ONE_KEY_FOR_TWO = "keyed.Ambiguous"
"""A field of it has another one's name as its JSON name, so some rows have no record."""


@pytest.mark.parametrize("name", MESSAGES)
def test_what_comes_back_is_json_that_encodes_to_the_same_row(name: str) -> None:
    message = MESSAGES[name]
    encode = Encoder(message).encode
    maker = Maker(descriptor_of(message), 7, hazards=0.1)
    rows = [row for row in (encode(maker.record()) for _ in range(100)) if not isinstance(row, Rejection)]
    found = [(row, record) for row in rows if (record := unencoder(message, encode)(row)) is not None]
    assert all(encode(decode(canonical_json(record))) == row for row, record in found)
    assert len(found) == len(rows) or name == ONE_KEY_FOR_TWO
    assert found


def test_values_come_back_as_a_person_writes_them() -> None:
    encode = Encoder(MESSAGES["annotated.Every"]).encode
    record = {
        "c_int64": 9007199254740993,
        "c_float64": 0.5,
        "c_bytes": "AAE=",
        "c_numeric": "1.5",
        "c_date": "2013-01-31",
        "c_datetime": "2013-01-31 05:06:07",
        "c_timestamp": "2013-01-31T05:06:07.000008Z",
        "c_json": {"a": [1, None]},
        "c_range_date": {"start": "2013-01-01", "end": "2013-02-01"},
        "c_enum": "GRADE_HIGH",
        "c_structs": [{"text": "x", "days": ["2013-01-31"]}],
        "c_map": {"k": {"amount": "2"}},
    }
    row = encode(record)
    assert isinstance(row, bytes), row
    back = unencoder(MESSAGES["annotated.Every"], encode)(row)
    assert back == record


@pytest.mark.parametrize("row", [b"\xff\xff", b"\x0a\x01x", b"\xfa\xff\x07\x01x"])
def test_bytes_that_today_s_message_does_not_give_have_no_record(row: bytes) -> None:
    kind = MESSAGES["flights.Flight"]
    assert unencoder(kind, Encoder(kind).encode)(row) is None


def test_a_time_beyond_what_can_be_written_has_no_record() -> None:
    kind = MESSAGES["annotated.Every"]
    row = b"\x58" + b"\xff" * 8 + b"\x7f"  # c_timestamp: 2^63 - 1 microseconds
    assert unencoder(kind, Encoder(kind).encode)(row) is None
