"""Row messages by name: every message of every file in `proto/`, and the BigQuery options written on its fields."""

import difflib
import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, cast

import ingestor_protos
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from ingestor_protos import bq_field_pb2, bq_table_pb2, ingestor_options_pb2

from ingestor.errors import ConfigurationError

_BY_NUMBER = bq_table_pb2.BigQueryMessageOptions.FieldOrder.FIELD_ORDER_BY_NUMBER

NAMES_SHOWN = 5
"""How many known messages an error lists."""


@dataclass(frozen=True, slots=True)
class FieldOptions:
    """The options `(gen_bq_schema.bigquery)` and `(ingestor.options.field)` of a field; empty or false where nothing is
    written. `time_unit` and `json_text` are the last words of the enum values, such as MILLISECONDS and PARSED.
    """

    require: bool
    type_override: str
    ignore: bool
    description: str
    name: str
    policy_tags: str
    default_value_expression: str
    time_unit: str = ""
    json_text: str = ""


@dataclass(frozen=True, slots=True)
class MessageOptions:
    """The option `(gen_bq_schema.bigquery_opts)` of a message; empty or false where nothing is written."""

    table_name: str
    use_json_names: bool
    extra_fields: tuple[str, ...]
    by_number: bool


@lru_cache(maxsize=4096)
def field_options(field: FieldDescriptor) -> FieldOptions:
    """Return what the `.proto` says of the field's column. `type_override` is in capitals."""
    extensions: Any = field.GetOptions().Extensions
    options: bq_field_pb2.BigQueryFieldOptions = extensions[bq_field_pb2.bigquery]
    own: ingestor_options_pb2.FieldOptions = extensions[ingestor_options_pb2.field]
    return FieldOptions(
        require=options.require,
        type_override=options.type_override.strip().upper(),
        ignore=options.ignore,
        description=options.description,
        name=options.name,
        policy_tags=options.policy_tags,
        default_value_expression=options.default_value_expression,
        time_unit=_last_word(ingestor_options_pb2.TimeUnit.Name(own.time_unit)),
        json_text=_last_word(ingestor_options_pb2.JsonText.Name(own.json_text)),
    )


@lru_cache(maxsize=4096)
def message_options(message: Descriptor) -> MessageOptions:
    """Return what the `.proto` says of the message's table."""
    extensions: Any = message.GetOptions().Extensions
    options: bq_table_pb2.BigQueryMessageOptions = extensions[bq_table_pb2.bigquery_opts]
    return MessageOptions(
        table_name=options.table_name,
        use_json_names=options.use_json_names,
        extra_fields=tuple(options.extra_fields),
        by_number=options.output_field_order == _BY_NUMBER,
    )


def message_class(full_name: str) -> type[Message]:
    """Return the generated class of a message by its full name: `flights.Flight`, nested ones as `pkg.Outer.Inner`.

    Raises:
        ConfigurationError: no file in `proto/` that has been compiled defines it; names the closest that exist.
    """
    known = _known_messages()
    if full_name not in known:
        raise ConfigurationError(_unknown(full_name, sorted(known)))
    return GetMessageClass(known[full_name])


def descriptor_of(message: type[Message]) -> Descriptor:
    """Return the class's descriptor under the one type that the rest of the code names."""
    return cast("Descriptor", message.DESCRIPTOR)


def _last_word(enum_value: str) -> str:
    word = enum_value.rpartition("_")[2]
    return "" if word == "UNSPECIFIED" else word


@cache
def _known_messages() -> dict[str, Descriptor]:
    return {
        message.full_name: message
        for file in _compiled_files()
        for outer in file.message_types_by_name.values()
        for message in _with_nested(outer)
    }


def _compiled_files() -> Iterator[FileDescriptor]:
    for module in pkgutil.iter_modules(ingestor_protos.__path__):
        if module.name.endswith("_pb2"):
            yield importlib.import_module(f"{ingestor_protos.__name__}.{module.name}").DESCRIPTOR


def _with_nested(message: Descriptor) -> Iterator[Descriptor]:
    yield message
    for nested in message.nested_types:
        if not nested.GetOptions().map_entry:
            yield from _with_nested(nested)


def _unknown(full_name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(full_name, known, n=NAMES_SHOWN, cutoff=0.4)
    shown = (close + [name for name in known if name not in close])[:NAMES_SHOWN]
    more = f" and {len(known) - len(shown)} more" if len(known) > len(shown) else ""
    return (
        f"MESSAGE_TYPE {full_name!r} is no message of a compiled file in proto/ (known: {', '.join(shown)}{more}); "
        "correct the name, or run `make proto` after adding a file"
    )
