"""`make demo`: the whole job on this machine, a crash in the middle included, and the proof at the end.

January 2013's flights are ingested in three runs: the first finds a third of them, five of them spoiled, and BigQuery
refuses one of its batches; the second finds them all and is killed with SIGKILL half-way; the third resumes. Then what
was set aside is looked at, planned, repaired and replayed. Exit 0 only if the view equals the source, value by value.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ingestor.tables import Tables
from ops.local.flights import JANUARY, records
from ops.local.operators import UNTIL, OperatorsPages, leave_failures
from ops.local.process import LOCAL, ROOT, ServiceError
from ops.local.proof import prove
from ops.local.screenshots import take
from ops.local.stack import BUCKET, DATASET, PROJECT, TABLE, LocalStack
from ops.local.storage_write import StorageWrite

SPOILED: dict[int, dict[str, object]] = {
    100: {"dep_time": "early"},
    200: {"time_hour": "yesterday"},
    201: {"air_time": "long"},
    600: {"time_hour": "2013-01-01 soon"},
    900: {"distance": 1.5},
}
"""Flights, by their number, that the source sends wrongly at first."""
REFUSED_REQUEST = 4
REFUSAL = {
    "on": {"stream": f"*/tables/{TABLE}/*", "request": REFUSED_REQUEST, "per": "stream"},
    "do": {"answer": "INVALID_ARGUMENT", "message": "the demo refuses this batch"},
    "times": 1,
}
"""What the Storage Write server in front of the emulator is told to do."""
FIRST_FLIGHTS = 9_000
"""What the source has when the first run comes."""
KILLED_AFTER_BATCHES = 6
RUN_SETTINGS = {"BATCH_MAX_ROWS": "1000", "SOURCE_PAGE_SIZE": "2500"}
"""Small batches, so that there is a middle to be killed in."""
KILL_TIMEOUT_S = 60.0


class DemoFailed(Exception):  # noqa: N818 - one line and exit 1
    """A step of the demo did not do what it shows."""


class Demo:
    """The steps, on a stack that is up."""

    def __init__(self, stack: LocalStack, storage_write: StorageWrite) -> None:
        self._stack, self._storage_write = stack, storage_write
        self.env = {
            **os.environ,
            **stack.env,
            **RUN_SETTINGS,
            "BIGQUERY_STORAGE_EMULATOR_HOST": storage_write.host,
        }
        self._runs = 0

    def play(self) -> bool:
        """Show it all; return whether the proof holds."""
        say("Create table, ledger table and view")
        self._ingestor("schema", "apply")
        spoiled, refused = f"{len(SPOILED)} of them spoiled", "BigQuery refuses one batch"
        say(f"Run 1: the source has {FIRST_FLIGHTS:,} flights so far, {spoiled}, and {refused}")
        poison = {str(number): changed for number, changed in SPOILED.items()}
        self._stack.demo_api.admin(visible=FIRST_FLIGHTS, poison=poison)
        self._storage_write.play([REFUSAL])
        self._run()
        say("Run 2: the source has all of January; the run is killed with SIGKILL in the middle")
        self._stack.demo_api.admin(visible=len(records(*JANUARY)), poison={})
        self._killed_run()
        say("Run 3: resumes where the ledger says (--takeover: nobody waits for the dead run to grow stale)")
        self._run("--takeover")
        say("What was set aside")
        self._ingestor("batches", "failures")
        say("The batch: what a replay would do, then the replay")
        self._ingestor("batches", "replay", "--all", "--dry-run")
        self._ingestor("batches", "replay", "--all", "--reason", "the demo's refusal is over")
        say("The records: repaired as JSON lines, and replayed under their own batch and row")
        self._repair()
        say("What the ledger says")
        self._ingestor("runs", "list")
        self._ingestor("status")
        self._ingestor("ledger", "verify")
        say("The proof")
        return self._proof()

    def leave_failures(self) -> None:
        """Go on as a real source does, and leave what failed to whoever opens the pages."""
        leave_failures(self.env, self._stack.demo_api, self._storage_write, len(records(*JANUARY)))

    def _proof(self) -> bool:
        with Tables(PROJECT, DATASET, self._stack.bigquery.rest_host) as tables:
            proof = prove(tables, TABLE, *JANUARY)
        print("\n".join(proof.lines()))
        return proof.holds

    def _repair(self) -> None:
        """Repair every open record as a person would: look at the lines, put the right values in, replay the file."""
        right = {_key(flight): flight for flight in records(*JANUARY)}
        listed = json.loads(self._output("batches", "list", "--json", "--limit", "1000"))["items"]
        for batch_id in [batch["batch_id"] for batch in listed if batch["open_records"]]:
            lines = [json.loads(line) for line in self._output("records", "list", batch_id, "--lines").splitlines()]
            for line in lines:
                print(f"{batch_id} row {line['row_index']}: {line['reason'][:100]}")
            path = LOCAL / f"demo-repaired-{batch_id}.jsonl"
            path.write_text("".join(json.dumps({**ln, "record": right[_key(ln["record"])]}) + "\n" for ln in lines))
            self._ingestor("records", "replay", batch_id, "--file", str(path), "--reason", "repaired by hand")

    def _output(self, *arguments: str) -> str:
        return subprocess.run(
            [*_command(), *arguments], env=self.env, check=True, stdout=subprocess.PIPE
        ).stdout.decode()

    def _ingestor(self, *arguments: str) -> None:
        done = subprocess.run([*_command(), *arguments], env=self.env, check=False)
        if done.returncode:
            raise DemoFailed(f"`ingestor {' '.join(arguments)}` ended with {done.returncode}")

    def _start_run(self, arguments: Sequence[str]) -> tuple["subprocess.Popen[bytes]", Path]:
        """Start a run: its bar on this terminal, its log lines in a file."""
        self._runs += 1
        path = LOCAL / "logs" / f"demo-run-{self._runs}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as log:
            return subprocess.Popen([*_command(), "run", *arguments], env=self.env, stdout=log), path

    def _run(self, *arguments: str) -> None:
        process, path = self._start_run(arguments)
        if process.wait():
            raise DemoFailed(f"the run ended with {process.returncode}: see {_shown(path)}")

    def _killed_run(self) -> None:
        process, path = self._start_run(())
        until = time.monotonic() + KILL_TIMEOUT_S
        while _committed(path) < KILLED_AFTER_BATCHES:
            if process.poll() is not None or time.monotonic() > until:
                process.kill()
                raise DemoFailed(f"the run was over before it could be killed: see {_shown(path)}")
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        print(f"killed after {_committed(path)} of its batches were committed, the others in doubt or never begun")


def main() -> int:
    """Play the demo and say where things are."""
    parser = argparse.ArgumentParser(prog="python -m ops.local.demo")
    parser.add_argument("--keep", action="store_true", help="leave failures, show the pages, stay up until Ctrl-C")
    parser.add_argument("--screenshots", action="store_true", help="as --keep, but take pictures of the pages and end")
    parser.add_argument("--sqlite", action="store_true", help="keep the ledger in SQLite although Firestore is there")
    arguments = parser.parse_args()
    goes_on = arguments.keep or arguments.screenshots
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    started = time.monotonic()
    try:
        until = UNTIL if goes_on else JANUARY[1]
        stack = LocalStack(end=until, firestore=False if arguments.sqlite else None)
        if stack.notice:
            say(stack.notice)
        say("Start the local stack")
        stack.start(each=lambda service, seconds: print(f"{service.name:16} ready after {seconds:4.1f} s", flush=True))
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 1
    try:
        with StorageWrite(forward=stack.bigquery.grpc_host) as storage_write:
            demo = Demo(stack, storage_write)
            holds = demo.play()
            _say_where(stack, time.monotonic() - started)
            if goes_on:
                say("More runs, with failures left in them for the operators' pages")
                demo.leave_failures()
                _show_pages(stack, demo.env, pictures=arguments.screenshots)
    except (DemoFailed, ServiceError) as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped")
        return 0 if goes_on else 130
    finally:
        stack.stop()
    return 0 if holds else 1


def say(text: str) -> None:
    """Print a heading."""
    print(f"\n== {text}", flush=True)


def _say_where(stack: LocalStack, seconds: float) -> None:
    ledger = "in the Firestore emulator" if stack.firestore else f"in {_shown(stack.ledger_file)}"
    say(f"Done in {seconds:.0f} s")
    print(f"ledger   {ledger}, pipeline {TABLE}, lane 0")
    print(f"bucket   {BUCKET}")
    print(f"logs     {_shown(LOCAL / 'logs')}/demo-run-*.jsonl; the services' own beside them")


def _show_pages(stack: LocalStack, env: Mapping[str, str], *, pictures: bool) -> None:
    """Take the pictures of the pages, or show them until Ctrl-C."""
    path = stack.write_env()
    with OperatorsPages(env) as pages:
        say(f"The operators' pages: {pages.url}")
        if pictures:
            for taken in take(pages.url):
                print(f"{_shown(taken)}: {taken.stat().st_size:,} bytes")
            return
        print(f"The stack stays up: `source {_shown(path)}` in another terminal; Ctrl-C here stops all", flush=True)
        signal.pause()


def _key(flight: Mapping[str, object]) -> tuple[object, ...]:
    """What tells one flight from another, whatever else is spoiled."""
    return tuple(flight[name] for name in ("month", "day", "carrier", "flight", "origin", "sched_dep_time"))


def _command() -> list[str]:
    return [sys.executable, "-m", "ingestor"]


def _committed(path: Path) -> int:
    return path.read_bytes().count(b'"event":"batch.committed"')


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


if __name__ == "__main__":
    sys.exit(main())
