"""Long mixed histories of one pipeline, drawn by hypothesis: runs that finish, die, hang and come back as zombies,
replays, discards, pauses, a source that grows and changes, other batch sizes; against a model that is a dictionary.

The model is the source: each record by its number, which must end in exactly one place. The system is the real run
and the real replay over the explorer's world, where every effect may be the last one of its process.
"""

import json
import os
from collections import Counter
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ingestor.errors import IngestorError
from state.errors import LedgerError
from state.events import Paused, Resumed
from state.ledger import LaneLedger
from tests.explorer import laws
from tests.explorer.faults import Chooser, Died, Fault, Process
from tests.explorer.processes import Wiring
from tests.explorer.world import LANE, PIPELINE, World

EXAMPLES = int(os.environ.get("INGESTOR_HISTORIES", "20"))
STEPS = int(os.environ.get("INGESTOR_HISTORY_STEPS", "20"))
FAULTS = st.lists(st.tuples(st.integers(0, 24), st.sampled_from(sorted(Fault))), min_size=1, max_size=4)
"""What goes wrong in a process, by the number of its effect."""
KINDS = st.sampled_from([{}, {}, {}, {}, {"bad": 1}, {"refused": 1}, {"poison": 1}])
MORE = st.lists(KINDS, min_size=1, max_size=8)


class Histories(RuleBasedStateMachine):
    """The pipeline and its model: `model` says of each record, by number, what it is."""

    @initialize(kinds=MORE)
    def begin(self, kinds: list[dict[str, int]]) -> None:
        self.world = World([[], []])
        self.model = dict[int, dict[str, Any]]()
        self.processes = 0
        self.rows = 2
        self._grow(kinds, new_page=False)

    # What the world does.

    @rule(kinds=MORE, faults=FAULTS, new_page=st.booleans())
    def the_source_grows_and_a_run_comes(
        self, kinds: list[dict[str, int]], faults: list[tuple[int, Fault]], *, new_page: bool
    ) -> None:
        self._grow(kinds, new_page=new_page)
        self.a_run(faults)

    def _grow(self, kinds: list[dict[str, int]], *, new_page: bool) -> None:
        more = list[dict[str, Any]]()
        for kind in kinds:
            record = {"n": len(self.model) + 1, **kind}
            self.model[len(self.model) + 1] = record
            more.append(record)
        pages = self.world.pages
        self.world.pages = [*pages, more] if new_page else [*pages[:-1], [*pages[-1], *more]]

    @rule()
    def time_passes(self) -> None:
        self.world.jump()

    @rule()
    def what_is_late_lands(self) -> None:
        self.world.land_late()

    @rule(mended=st.booleans())
    def the_table_takes_the_poison_or_not(self, *, mended: bool) -> None:
        self.world.mended = mended

    # What people do.

    @rule(rows=st.integers(1, 5))
    def the_batch_size_is_configured(self, rows: int) -> None:
        self.rows = rows

    @rule(faults=FAULTS)
    def a_run(self, faults: list[tuple[int, Fault]]) -> None:
        self._process("run", faults, lambda wiring, name: wiring.run(name, rows=self.rows))

    @rule(faults=FAULTS)
    def an_operator_replays(self, faults: list[tuple[int, Fault]]) -> None:
        def replay(wiring: Wiring, name: str) -> None:
            replayer = wiring.replayer()
            for batch in [*self.world.batches("DEAD_LETTERED"), *self.world.batches("REPLAYING")]:
                replayer.replay(batch["batch_id"], actor=name, reason="again", forced=True)

        self._process("replay", faults, replay)

    @rule()
    def an_operator_discards(self) -> None:
        def discard(wiring: Wiring, name: str) -> None:
            for batch in self.world.batches("DEAD_LETTERED")[:1]:
                wiring.replayer().discard(batch["batch_id"], actor=name, reason="not wanted")

        self._process("discard", [], discard)

    @rule()
    def an_operator_reopens(self) -> None:
        def reopen(wiring: Wiring, name: str) -> None:
            for batch in self.world.batches("DISCARDED"):
                wiring.replayer().reopen(batch["batch_id"], actor=name)

        self._process("reopen", [], reopen)

    @rule(reason=st.sampled_from(["", "stop it"]))
    def the_lane_is_paused_or_resumed(self, reason: str) -> None:
        ledger = LaneLedger(
            self.world.journal,
            PIPELINE,
            LANE,
            now_us=self.world.now_us,
            nonce=lambda: f"person-{self.processes}",
            sleep=lambda _: None,
            retention_days=90,
        )
        ledger.open()
        self.processes += 1
        event = Paused(actor="ann", reason=reason) if reason else Resumed(actor="ann")
        ledger.append([event], run_id="")

    # What must hold.

    @invariant()
    def no_reader_sees_a_record_twice_or_what_is_not_committed(self) -> None:
        assert laws.at_any_instant(self.world) == []

    @invariant()
    def every_record_is_in_one_place_at_most(self) -> None:
        assert [record for record, times in self._seen().items() if times > 1] == []

    def teardown(self) -> None:
        self.the_lane_is_paused_or_resumed("")
        self.an_operator_reopens()
        self.world.mended = True
        self._process("run", [], lambda wiring, name: wiring.run(name, rows=self.rows))
        self.an_operator_replays([])
        self._process("run", [], lambda wiring, name: wiring.run(name, rows=self.rows))
        self.world.land_late()
        assert laws.at_last(self.world, verify=True) == []
        expected = Counter(json.dumps(record, sort_keys=True) for record in self.model.values())
        assert self._seen() == expected

    def _seen(self) -> Counter[str]:
        return self.world.visible() + laws.set_aside(self.world) + laws.dead_rows(self.world)

    def _process(self, kind: str, faults: list[tuple[int, Fault]], work: Any) -> None:
        self.processes += 1
        self.world.seconds += 500.0
        name = f"{kind}-{self.processes:03}"
        process = Process(
            name=name,
            chooser=Chooser({number: fault for number, fault in faults if fault is not Fault.SOURCE_CHANGED}),
            interleave=lambda by: self._process("run", [], lambda wiring, _: wiring.run(f"{by}.other", rows=2)),
            change_source=lambda: None,
            jump=self.world.jump,
        )
        try:
            result = work(Wiring(process, self.world), name)
        except (Died, IngestorError, LedgerError):
            return
        if kind == "run":
            assert laws.of_run(name, result) == []


TestLongHistories = Histories.TestCase
TestLongHistories.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, suppress_health_check=list(HealthCheck)
)
