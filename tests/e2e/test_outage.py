"""Outages of hours: permission lost, table dropped, schema broken, BigQuery unreachable, over several scheduled runs.

While it lasts every run fails, one run's batches in flight are set aside, and nothing is lost; once it is mended the
next run ends with view = source and nobody did anything.
"""

import contextlib
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date

import pytest

from ops.local.flights import JANUARY, records
from ops.local.proof import prove
from ops.local.services import DemoApi
from ops.local.storage_write_server import StorageWriteServer
from state.verify import verify_pipeline
from tests.conftest import PROJECT, BigQueryHosts
from tests.e2e.conftest import Done, Pipeline
from tests.live import LivePipeline

PROBES = True
"""Whether a run after a systemic failure probes before it reads, and heals. Set it to True with the probe: the drill
then also demands that nothing is fetched while an outage lasts, that one run's batches are set aside in all, and that
the view equals the source in the end."""

IN_FLIGHT = 2
THREE_DAYS = (date(2013, 1, 1), date(2013, 1, 4))
Days = tuple[date, date]
ONE_RUNS_BATCHES = 2 * IN_FLIGHT + 2
"""What a run holds at most: twice its window and two."""
HEALTHY_REQUESTS = 3
ALWAYS_SLOW = {"do": {"delay_s": 0.1}}


@dataclass
class Drill:
    """What an outage is done to."""

    pipeline: Pipeline
    server: StorageWriteServer
    demo_api: DemoApi
    days: Days

    def fetched(self) -> int:
        """Requests that the source's API has seen."""
        return int(self.demo_api.counters()["counters"].get("requests", 0))

    def run_broken_by(self, strike: Callable[[], None], due: Callable[[], bool]) -> Done:
        """Run once; the outage strikes in the middle, as soon as it is due."""
        process = self.pipeline.start("run", "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        with process:
            while not due() and process.poll() is None:
                time.sleep(0.01)
            strike()
            out, err = process.communicate(timeout=120)
        return Done(process.returncode, out, err)

    def appended(self) -> bool:
        """Whether some requests went well."""
        return sum(seen.applied for seen in self.server.requests()) >= HEALTHY_REQUESTS

    def asked(self) -> bool:
        """Whether the run is past its preflight: it asked the source for something."""
        return self.fetched() > 0


class Outage:
    """One kind: how it strikes in the middle of a run, and how it is mended."""

    def first_run(self, drill: Drill) -> Done:
        """Run into it."""
        drill.server.play([ALWAYS_SLOW])
        return drill.run_broken_by(lambda: self.strike(drill), drill.appended)

    def strike(self, drill: Drill) -> None:
        """Break it."""

    def mend(self, drill: Drill) -> None:
        """Mend it."""
        drill.server.play([])


class PermissionLost(Outage):
    """The account may not write any more: neither rows nor statements."""

    def strike(self, drill: Drill) -> None:
        drill.server.play([{"do": {"end": "PERMISSION_DENIED", "message": "Permission 'TABLES_UPDATE_DATA' denied"}}])


class SchemaBroken(Outage):
    """The append path refuses the writer schema, say because a column's type was changed by hand."""

    def strike(self, drill: Drill) -> None:
        message = "Invalid proto schema: BqMessage.proto: field year mismatched with BigQuery field year"
        on = {"stream": "*/tables/flights/*"}
        drill.server.play([{"on": on, "do": {"end": "INVALID_ARGUMENT", "message": message}}])


class Unreachable(Outage):
    """Every connection to the Write API is reset."""

    def strike(self, drill: Drill) -> None:
        drill.server.set_reachable(reachable=False)

    def mend(self, drill: Drill) -> None:
        drill.server.play([])
        drill.server.set_reachable(reachable=True)


class TableDropped(Outage):
    """The table is gone after the preflight and before the first append: no emulator can bring rows back."""

    def first_run(self, drill: Drill) -> Done:
        drill.demo_api.admin(latency_ms=1_000)
        done = drill.run_broken_by(lambda: self.strike(drill), drill.asked)
        drill.demo_api.admin(latency_ms=0)
        return done

    def strike(self, drill: Drill) -> None:
        env = drill.pipeline.env
        url = f"http://{env['BIGQUERY_EMULATOR_HOST']}/bigquery/v2/projects/{PROJECT}"
        table = f"{url}/datasets/{env['BQ_DATASET_ID']}/tables/flights"
        request = urllib.request.Request(table, method="DELETE")  # noqa: S310 - loopback
        with contextlib.suppress(urllib.error.HTTPError), urllib.request.urlopen(request, timeout=30):  # noqa: S310 - likewise
            pass

    def mend(self, drill: Drill) -> None:
        drill.pipeline.apply_schema()


OUTAGES = (PermissionLost, SchemaBroken, Unreachable, TableDropped)


@pytest.fixture
def drill(pipeline: Pipeline, bigquery: BigQueryHosts, demo_api: DemoApi, days: Days) -> Iterator[Drill]:
    """The flights of these days in 27 pages, each a batch."""
    rows = str(-(-len(records(*days)) // 27))
    with StorageWriteServer(forward=bigquery.grpc_host) as server:
        proxied = pipeline.with_env(
            SOURCE_URL=demo_api.source_url(*days),
            BIGQUERY_STORAGE_EMULATOR_HOST=server.host,
            SOURCE_PAGE_SIZE=rows,
            BATCH_MAX_ROWS=rows,
            MAX_IN_FLIGHT=str(IN_FLIGHT),
            APPEND_MAX_ATTEMPTS="2",
        )
        proxied.apply_schema()
        yield Drill(proxied, server, demo_api, days)


def told(done: Done, exit_codes: tuple[int, ...]) -> None:
    """The run failed and said why in a line; its books balance."""
    assert done.code in exit_codes, (done.code, done.err)
    assert done.summary["status"] == "failed"
    assert done.summary["balanced"]
    assert done.err.strip()
    assert "Traceback" not in done.out + done.err


@pytest.mark.parametrize(
    ("runs", "days"), [(5, THREE_DAYS), pytest.param(20, JANUARY, marks=pytest.mark.long)], ids=["5", "20"]
)
@pytest.mark.parametrize("outage", OUTAGES, ids=lambda outage: outage.__name__)
def test_an_outage_loses_nothing_and_heals_by_itself(drill: Drill, outage: type[Outage], runs: int) -> None:
    what = outage()
    first = what.first_run(drill)
    told(first, (3,))
    seen = LivePipeline(drill.pipeline.env, drill.pipeline.tables, drill.server, [])
    try:
        aside = len(seen.batches("DEAD_LETTERED"))
        assert 1 <= aside <= ONE_RUNS_BATCHES
        assert {d["dead_kind"] for d in seen.batches("DEAD_LETTERED")} == {"systemic"}
        fetched = drill.fetched()
        for number in range(2, runs + 1):
            told(drill.pipeline.run_here(), (2, 3))
            if PROBES:
                assert drill.fetched() == fetched, f"run {number} read from the source"
                assert len(seen.batches("DEAD_LETTERED")) == aside, f"run {number} set more aside"
        what.mend(drill)
        healed = drill.pipeline.run_here()
        assert (healed.code, healed.summary["status"], healed.summary["balanced"]) == (0, "complete", True)
        proof = prove(drill.pipeline.tables, "flights", *drill.days)
        dead = Counter(seen.dead())
        assert not proof.unexpected
        assert len(proof.missing) == dead.total()
        assert proof.view + dead.total() == proof.source
        if PROBES:
            assert proof.holds, proof.lines()
        assert verify_pipeline(seen.journal, seen.pipeline_id) == []
    finally:
        seen.close()
