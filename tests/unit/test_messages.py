"""Any message of any compiled file is found by name; a wrong name is answered with what exists."""

import pytest
from google.protobuf.message import Message

from ingestor.errors import ConfigurationError
from ingestor.messages import FieldOptions, descriptor_of, field_options, message_class, message_options
from tests.protos.samples import described


@pytest.mark.parametrize("name", ["flights.Flight", "ingestor.LedgerStatement", "gen_bq_schema.BigQueryFieldOptions"])
def test_a_message_of_every_compiled_file_is_found(name: str) -> None:
    found = message_class(name)
    assert issubclass(found, Message)
    assert descriptor_of(found).full_name == name


@pytest.mark.parametrize("name", ["flights.flight", "Flight", "flights.Flights", "flihgts.Flight"])
def test_a_name_nearly_right_is_answered_with_the_right_one_first(name: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"known: flights\.Flight, .*run `make proto` after adding a file"
    ) as no:
        message_class(name)
    assert repr(name) in str(no.value)
    assert "\n" not in str(no.value)


@pytest.mark.parametrize("name", ["", "google.protobuf.Timestamp", "flights.Flight.year"])
def test_what_is_no_message_of_ours_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="is no message of a compiled file in proto/"):
        message_class(name)


def test_options_of_a_field_are_read_and_the_rest_is_empty() -> None:
    fields = described("shop.Order.Line").fields_by_name
    plain = FieldOptions(
        require=False,
        type_override="",
        ignore=False,
        description="",
        name="",
        policy_tags="",
        default_value_expression="",
    )
    assert field_options(fields["quantity"]) == plain
    assert field_options(fields["sku"]).description == "Stock keeping unit"
    assert field_options(fields["packed_at"]).type_override == "TIMESTAMP"
    assert field_options(described("shop.Order").fields_by_name["id"]).require


def test_options_of_a_message_are_read() -> None:
    assert message_options(descriptor_of(message_class("flights.Flight"))).table_name == "flights"
    assert message_options(described("annotated.JsonNames")).use_json_names
