"""Whatever a source sends as a record, the run goes on: it is a row or a rejected record that can be read again.

The source's pages are JSON text that goes through the real decoder; encoder, server, bucket and ledger are real too.
"""

import itertools
import json
import random
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ingestor.decode import Undecodable, canonical_json, decode, records_at
from ingestor.errors import SourceError
from ingestor.tables import Tables
from ops.local.storage_write_server import StorageWriteServer
from tests.conftest import PROJECT, BigQueryHosts
from tests.live import LivePipeline, flight, live_env

RUNS, RECORDS, ODD_VALUES = 20, 500, 40
MIB = 1024 * 1024
FIELDS = (*flight(0, ""), "month", "dep_time", "air_time", "origin", "no_such_field", "timeHour", "")


class BodyPage:
    """A page as text, decoded when it is fetched, as the HTTP source does."""

    def __init__(self, texts: list[str]) -> None:
        self._body = ("[" + ",".join(texts) + "]").encode("utf-8", "surrogatepass")

    def __iter__(self) -> Iterator[Any]:
        try:
            return iter(records_at(decode(self._body), ""))
        except Undecodable as error:
            raise SourceError(str(error)) from None


def nested(depth: int, opening: str, closing: str) -> str:
    return opening * depth + "1" + closing * depth


def as_json(value: Any) -> str:
    return json.dumps(value)


ODD_NUMBERS = st.one_of(
    st.sampled_from(["NaN", "Infinity", "-Infinity", "1e400", "-0", "-0.0", "1e-400", "2147483648", "-2147483649"]),
    st.sampled_from(["9223372036854775808", "-9223372036854775809", "18446744073709551616", "1.5", "1e3", "1e19"]),
    st.integers(1, 9).flatmap(lambda digit: st.integers(20, 12_000).map(lambda length: str(digit) * length)),
    st.integers().map(str),
    st.floats().map(as_json),
)
ODD_TEXTS = st.one_of(
    st.sampled_from([r'"\ud800"', r'"\udfff\ud800"', r'"\u0000"', '""', '"\\u0000\\uffff"', '"2013-13-45T99:00:00Z"']),
    st.sampled_from(['"9999-12-31T23:59:59.999999Z"', '"0000-00-00"', '"-1"', '"1e3"', '"null"', '"1_000"', '" 7 "']),
    st.text(st.characters(codec=None), max_size=40).map(as_json),
    st.integers(1_000, 60_000).map(lambda length: as_json("x" * length)),
)
ODD_NESTS = st.integers(1, 400).flatmap(
    lambda depth: st.sampled_from([nested(depth, "[", "]"), nested(depth, '{"a":', "}"), nested(depth, '[{"":', "}]")])
)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
).map(as_json)
ODD = st.one_of(ODD_NUMBERS, ODD_TEXTS, ODD_NESTS, PLAIN)


def record_text(chance: random.Random, number: int, odd: list[str]) -> str:
    """One record: a flight of which some fields are odd, or now and then something that is no flight at all."""
    if chance.random() < 0.1:
        return chance.choice(odd)
    fields = {name: as_json(value) for name, value in flight(number, "N1").items()}
    for _ in range(chance.choice([0, 0, 1, 1, 2, 3])):
        fields[chance.choice(FIELDS)] = chance.choice(odd)
    return "{" + ",".join(f"{as_json(name)}:{text}" for name, text in fields.items()) + "}"


@dataclass
class World:
    """Makes a pipeline for each list of records, all on one table."""

    open_for: Callable[[list[list[str]], int], LivePipeline]


@pytest.fixture
def world(  # noqa: PLR0913, PLR0917 - one fixture for each service
    bigquery: BigQueryHosts,
    dataset: str,
    bucket: str,
    gcs_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_url)
    with (
        StorageWriteServer(forward=bigquery.grpc_host) as server,
        Tables(PROJECT, dataset, bigquery.rest_host) as tables,
    ):

        def open_for(pages: list[list[str]], batch_rows: int = 120) -> LivePipeline:
            name = uuid.uuid4().hex
            env = {
                **live_env(tables, server.host, gcs_url, bucket, tmp_path / f"{name}.db"),
                "PIPELINE_ID": name,
                "BATCH_MAX_ROWS": str(batch_rows),
                "BIGQUERY_EMULATOR_HOST": bigquery.rest_host,
            }
            return LivePipeline(env, tables, server, [BodyPage(page) for page in pages])

        pipeline = open_for([])
        pipeline.apply_schema()
        pipeline.close()
        yield World(open_for)


def judged(pipeline: LivePipeline, texts: list[str]) -> tuple[int, int]:
    """Run; each record must be a visible row or a rejected record that reads back as what was sent, and not both."""
    result = pipeline.run()
    summary = result.summary
    assert (summary["status"], summary["records"]) == ("complete", len(texts)), summary
    assert (summary["rows_dead_lettered"], summary["rows_in_doubt"]) == (0, 0)
    batches = in_source_order(pipeline.batches())
    rejected = {(batch_id, record.index): record for batch_id, record in pipeline.rejected()}
    visible = rows_of(pipeline, [batch["batch_id"] for batch in batches])
    places = [(b["batch_id"], index) for b in batches for index in range(b["rows"] + b["rejected"])]
    assert len(places) == len(texts)
    for place, text in zip(places, texts, strict=True):
        assert (place in rejected) != (place in visible), (place, text[:200])
        if place in rejected:
            assert canonical_json(rejected[place].record) == canonical_json(
                decode(text.encode("utf-8", "surrogatepass"))
            )
            assert rejected[place].rejection.reason
    assert (len(visible), len(rejected)) == (summary["rows_committed"], summary["rows_rejected"])
    return len(visible), len(rejected)


def in_source_order(batches: list[Any]) -> list[Any]:
    return sorted(batches, key=lambda batch: (int(batch["start"]["cursor"] or 0), batch["start"]["taken"]))


def rows_of(pipeline: LivePipeline, batch_ids: list[str]) -> set[tuple[str, int]]:
    """The places of the rows that the view shows; none may show twice."""
    name = f"{PROJECT}.{pipeline.tables.dataset}.flights_dedup"
    ours = ", ".join(f"'{batch_id}'" for batch_id in batch_ids)
    sql = f"SELECT _ingest_batch_id AS b, _ingest_row_index AS i FROM `{name}` WHERE _ingest_batch_id IN ({ours})"  # noqa: S608 - names of ours
    places = [(row["b"], row["i"]) for row in pipeline.tables.query(sql)]
    assert len(places) == len(set(places))
    return set(places)


def test_10000_malformed_records_are_each_a_row_or_a_rejected_record(world: World) -> None:
    taken = [0, 0]
    runs = itertools.count()

    @settings(
        max_examples=RUNS,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(odd=st.lists(ODD, min_size=ODD_VALUES, max_size=ODD_VALUES), seed=st.integers(0, 2**32))
    def each(odd: list[str], seed: int) -> None:
        next(runs)
        chance = random.Random(seed)  # noqa: S311 - a seeded choice
        texts = [record_text(chance, number, odd) for number in range(RECORDS)]
        pipeline = world.open_for([texts[:200], texts[200:350], texts[350:]], 120)
        try:
            rows, rejected = judged(pipeline, texts)
        finally:
            pipeline.close()
        taken[0] += rows
        taken[1] += rejected

    each()
    assert next(runs) >= RUNS
    assert sum(taken) >= RUNS * RECORDS
    assert min(taken) > RUNS * RECORDS // 10, "too one-sided to say much"


def test_strings_of_20_mb_are_rejected_alone_and_read_back(world: World) -> None:
    long = as_json("x" * (20 * MIB))
    good = as_json(flight(1, "N1"))
    texts = [
        good,
        good[:-1] + f',"origin":{long}}}',
        good[:-1] + f',"dep_time":{long}}}',
        good[:-1] + f',"time_hour":{long}}}',
        good[:-1] + f',"no_such_field":{long}}}',
        long,
        good,
    ]
    pipeline = world.open_for([texts], 100)
    try:
        assert judged(pipeline, texts) == (3, 4)
        assert all(len(record.rejection.reason) < 10_000 for _, record in pipeline.rejected())
    finally:
        pipeline.close()


def test_a_page_that_is_nested_without_end_stops_the_run_with_a_reason_and_loses_nothing(world: World) -> None:
    good = [as_json(flight(number, "N1")) for number in range(10)]
    pipeline = world.open_for([good, [nested(100_000, "[", "]")]], 5)
    try:
        result = pipeline.run()
        assert result.summary["status"] == "failed"
        assert "nested too deeply" in str(result.error)
        pipeline.pages = [BodyPage(good), BodyPage([as_json(flight(10, "N1"))])]
        assert pipeline.run().summary["status"] == "complete"
        assert pipeline.visible("N1") == Counter(range(11))
    finally:
        pipeline.close()
