"""No schedule of faults breaks a law; every effect is a choice point; every broken variant of the code is shown."""

import inspect
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest

from ingestor.append import AppendPort
from ingestor.bucket import Bucket as RealBucket
from ingestor.pages import Source as SourcePort
from ingestor.ports import Ports
from ingestor.replay_ports import ReplayPorts
from state.journal import Journal as JournalPort
from tests.explorer import histories, matrix, mutants, speed
from tests.explorer.effects import Bucket, Connection, Journal, Source
from tests.explorer.explore import Explored, Explorer, main, report
from tests.explorer.faults import Chooser, Fault, Kind, Process, read, written
from tests.explorer.story import Story
from tests.explorer.telling import tell, twin_of
from tests.explorer.world import World

FAULTS = int(os.environ.get("INGESTOR_FAULTS", "1"))
"""`make explore` explores two, `make explore FAULTS=3` three."""


@cache
def explored(faults: int) -> Explored:
    return Explorer(faults).explore()


def process(chooser: Chooser) -> Process:
    return Process("p", chooser, lambda _: None, lambda: None, lambda: None)


def test_no_schedule_of_faults_breaks_a_law_and_the_world_always_converges(
    record_property: Callable[[str, object], None],
) -> None:
    found = explored(FAULTS)
    record_property("schedules", report(FAULTS, found))
    assert found.violations == []
    assert found.schedules > 200


def test_the_story_has_what_it_must_have() -> None:
    story = Story().tell()
    kinds = [event["type"] for lane in ("0", "ops") for event in story.world.events(lane)]
    assert len(story.world.pages) >= 2
    assert kinds.count("batch_attempted") >= 4
    assert {"records_rejected", "batch_dead_lettered", "replay_succeeded"} <= set(kinds)
    assert any(Fault.OTHER_RUN in point.options for point in story.chooser.trace if point.process == "run-1")


@pytest.mark.parametrize("name", histories.ALL)
def test_a_history_that_broke_a_design_ends_well(name: str) -> None:
    assert histories.ALL[name]() == []


@pytest.mark.parametrize("mutant", [*mutants.NAMED, *mutants.FURTHER], ids=lambda mutant: mutant.name)
def test_a_broken_variant_breaks_a_law(mutant: mutants.Mutant) -> None:
    where, laws = matrix.caught(mutant)
    assert laws, f"nothing shows that {mutant.name}: {where}"
    assert f"| {mutant.name} | " in matrix.DOCUMENT.read_text(encoding="utf-8"), "run `make explore` to list it"


def test_there_are_ten_broken_variants_and_ten_more() -> None:
    assert min(len(mutants.NAMED), len(mutants.FURTHER)) >= 10


def test_the_crash_matrix_in_the_documents_is_that_of_the_code() -> None:
    found = explored(1)
    told = matrix.shape("\n".join([*matrix.matrix(found), *matrix.numbers(found), *matrix.named_histories()]))
    assert told in matrix.shape(matrix.DOCUMENT.read_text(encoding="utf-8")), "it is stale: run `make explore`"


# Every method of every port is one choice point.

JOURNAL = [name for name, _ in inspect.getmembers(JournalPort, inspect.isfunction) if not name.startswith("_")]
NO_EFFECT = {"close", "following"}


@pytest.mark.parametrize("name", sorted({*JOURNAL} - NO_EFFECT))
def test_every_method_of_the_journal_is_one_effect(name: str) -> None:
    chooser = Chooser()
    journal: Any = Journal(process(chooser), World())
    journal._journal = _Anything()
    commit = type("C", (), {"entry": type("E", (), {"events": ()})})
    getattr(journal, name)(*([commit] if name == "commit" else []))
    assert [point.name for point in chooser.trace] == [f"journal.{name}"]


@pytest.mark.parametrize(
    "name", sorted({n for n, _ in inspect.getmembers(RealBucket, inspect.isfunction) if n[0] != "_"})
)
def test_every_method_of_the_bucket_is_one_effect(name: str) -> None:
    chooser, world = Chooser(), World(objects={"o": b""})
    arguments: dict[str, Any] = {"check": (), "create": ("n", b"", "t", {}), "read": ("o",), "exists": ("o",)}
    getattr(Bucket(process(chooser), world), name)(*arguments[name])
    assert [point.name for point in chooser.trace] == [f"bucket.{name}"]
    assert _methods(RealBucket) == arguments.keys()


def test_a_fetch_and_a_send_are_one_effect_and_the_source_and_the_append_port_have_no_other() -> None:
    chooser, heard = Chooser(), list[Any]()
    Source(process(chooser), World()).fetch(None)
    Connection(process(chooser), World(), heard.append).send("k", ())
    assert [point.name for point in chooser.trace] == ["source.fetch", "append.send"]
    ports = {*_methods(SourcePort), *_methods(AppendPort)}
    assert ports == {"fetch", "send", "cancel", "close"}, "cancel and close end what the process holds: no effect"


EFFECTS = {
    "ledger": "journal", "source": "source.fetch", "open_connection": "append.send", "rejects": "bucket.create",
    "store_dead": "bucket.create", "table_exists": "table.exists", "publish": "publish", "preflight": "table.preflight",
    "publish_operators": "journal and publish", "heal": "a replay's own", "note_skip": "journal.create_skip",
    "partitions_of_others": "partitions_of_others", "isolate": "isolation.task",
    "journal": "journal", "open_ops": "journal", "dead": "bucket.read",
    "rejected": "bucket.read", "append": "append.send", "live_table": "table.read", "query": "table.query",
}  # fmt: skip
"""Where the effects behind each port of a run and of a replay become choice points."""
PURE = {
    "clock", "log", "observe", "standing", "close", "table_name", "message", "unencode", "token", "monotonic", "sleep",
}  # fmt: skip
"""Ports that change nothing outside: time, randomness, the log, what is configured."""


def test_every_port_of_a_run_and_of_a_replay_is_an_effect_or_has_none() -> None:
    named = {*Ports.__dataclass_fields__, *ReplayPorts.__dataclass_fields__}
    assert named == {*EFFECTS, *PURE}, "say in EFFECTS where a new port's effects become choice points"


def _methods(port: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(port, inspect.isfunction) if not name.startswith("_")}


class _Anything:
    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


# The machinery.


@pytest.mark.parametrize(
    ("fault", "applied", "ends"),
    [
        (Fault.ERROR_BEFORE, 0, "error"),
        (Fault.ERROR_AFTER, 1, "error"),
        (Fault.CRASH_BEFORE, 0, "Died"),
        (Fault.CRASH_AFTER, 1, "Died"),
        (Fault.OTHER_RUN, 1, ""),
    ],
)
def test_a_fault_does_what_its_name_says(fault: Fault, applied: int, ends: str) -> None:
    done, ended = list[int](), ""
    acting = process(Chooser({0: fault}))
    try:
        acting.effect("e", Kind.WRITE, lambda: done.append(1), lambda: ValueError("error"))
    except BaseException as error:  # noqa: BLE001 - Died is none that code may catch
        ended = str(error) or type(error).__name__
    assert (len(done), ended) == (applied, ends)


def test_a_schedule_is_read_back_and_replayed(capsys: pytest.CaptureFixture[str]) -> None:
    schedule = ((3, Fault.CRASH_AFTER), (9, Fault.LATE))
    assert read(written(schedule)) == schedule
    assert main(["--replay", "12:crash-after"]) == 0
    assert "crash-after" in capsys.readouterr().out


def test_a_world_copied_is_equal_and_apart() -> None:
    world = Story().tell().world
    copied = world.copied()
    assert copied.fingerprint() == world.fingerprint()
    copied.grow()
    copied.journal.create_skip("s", {}, 1)
    Story(world=copied).run("run-9")
    assert copied.fingerprint() != world.fingerprint()
    assert world.copied().fingerprint() == world.fingerprint()


def _every_state_of(world: World) -> Iterator[tuple[str, World]]:
    """Yield the world with one thing changed, for each thing that it holds."""
    for name, value in vars(world).items():
        changed = world.copied()
        if name not in {"journal", "seconds", "looks", "log"}:
            setattr(
                changed, name, {"extra": b""} if isinstance(value, dict) else (not value if value is False else "x")
            )
            yield name, changed
    for name, documents in vars(world.journal).items():
        if isinstance(documents, dict):
            for key in documents:
                changed = world.copied()
                getattr(changed.journal, name)[key] = {7: ("x", 0.0)} if name == "_entries" else "x"
                yield f"{name}[{key}]", changed


def test_a_fingerprint_is_of_everything_that_a_world_holds() -> None:
    world = Story().tell().world
    world.journal.create_skip("s", {}, 1)
    states = dict(_every_state_of(world))
    assert {"mended", "refuses", "late", "statements", "_snapshots[0]", "_skips[s]"} <= states.keys()
    assert [name for name, other in states.items() if other.fingerprint() == world.fingerprint()] == []


def _mutant(name: str) -> mutants.Mutant:
    return next(mutant for mutant in (*mutants.NAMED, *mutants.FURTHER) if mutant.name == name)


def test_what_is_known_is_told_once_and_hides_nothing() -> None:
    once, each_time = explored(1), Explorer(1, known=None).explore()
    assert (once.schedules, once.violations) == (each_time.schedules, each_time.violations)
    assert (once.points, once.recovered) == (each_time.points, each_time.recovered)
    assert once.told < each_time.told


def test_what_is_known_hides_nothing_of_a_broken_variant() -> None:
    with mutants.applied(_mutant("nonce ignored")):
        once, each_time = Explorer(1, (0, 4)).explore(), Explorer(1, (0, 4), known=None).explore()
    assert once.schedules == each_time.schedules
    assert once.told < each_time.told
    assert _said(once) == _said(each_time) != set()


def _said(found: Explored) -> set[str]:
    return {line for violation in found.violations for line in violation.splitlines()[1].split("; ")}


def _number_of(name: str) -> int:
    return next(number for number, point in enumerate(tell(0, World(), (), 0).trace) if point.name == name)


@pytest.mark.parametrize("fault", [None, Fault.ERROR_BEFORE, Fault.OTHER_RUN, Fault.DENIED])
def test_a_death_and_a_twin_are_what_telling_them_gives(fault: Fault | None) -> None:
    before = World()
    base = ((_number_of("append.send"), fault),) if fault else ()
    without = tell(0, before, base, 0, deaths=True)
    begin, compared = base[-1][0] + 1 if base else 0, set[str]()
    for number in range(begin, len(without.trace)):
        for choice in ((number, option) for option in without.trace[number].options):
            local = (*base, choice)
            twin = twin_of(local, without.trace, 0)
            if choice not in without.deaths and twin == local:
                continue
            compared.add(choice[1])
            told = tell(0, before, local, 0)
            known = without.deaths.get(choice) or tell(0, before, twin, 0).twin(before, local)
            assert known.world.fingerprint() == told.world.fingerprint(), written(local)
            assert (known.wrong, known.recovered, known.names) == (told.wrong, told.recovered, told.names)
    assert compared
    assert base or compared >= {Fault.CRASH_AFTER, Fault.ERROR_AFTER, Fault.CLOCK_JUMPED}


def test_the_faster_values_explore_the_same() -> None:
    command = [sys.executable, "-m", "tests.explorer.explore", "--faults", "1", "--share", "0/1"]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert said.stdout.startswith(report(1, explored(1)).partition("(")[0])
    assert f"{explored(1).recovered} processes killed or failed" in said.stdout


def test_the_faster_replace_is_dataclasses_replace() -> None:
    import dataclasses  # noqa: PLC0415 - what it is compared with

    from state.fold import LaneState  # noqa: PLC0415 - likewise

    state = LaneState(version=3)
    assert speed.replace(state, epoch=2) == dataclasses.replace(state, epoch=2)
    with pytest.raises(TypeError):
        speed.replace(state, nothing=1)
