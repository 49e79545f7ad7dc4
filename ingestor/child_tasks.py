"""What the process beside a run is asked to do where records are read. Found there by name; no client library."""

from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache

from ingestor.decode import Undecodable, decode, records_at
from ingestor.encode_fast import FastEncoder
from ingestor.messages import message_class


def do_nothing() -> None:
    """Live."""


def decode_bodies(bodies: Sequence[bytes]) -> None:
    """Decode each and forget it. What is no JSON text is for the run to tell."""
    for body in bodies:
        with suppress(Undecodable):
            decode(body)


def encode_records(message_type: str, bodies: Sequence[bytes]) -> None:
    """Decode each as a record, encode it and forget it."""
    for body in bodies:
        with suppress(Undecodable):
            _encoder(message_type).encode(decode(body))


def encode_page(message_type: str, body: bytes, path: str) -> None:
    """Decode a response, encode its records and forget them."""
    with suppress(Undecodable):
        for record in records_at(decode(body), path):
            _encoder(message_type).encode(record)


@lru_cache(maxsize=1)
def _encoder(message_type: str) -> FastEncoder:
    return FastEncoder(message_class(message_type))
