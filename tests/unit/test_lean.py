"""A short start."""

import gc
import importlib.util
import sys
from subprocess import run

import pytest

from ingestor.lean import TURN_S, YOUNG_OBJECTS, calm_collector, tune_for_runs, without


def test_a_hidden_package_is_not_installed_inside_and_is_again_after() -> None:
    sys.modules.pop("wave", None)
    with without("wave"), pytest.raises(ImportError):
        importlib.import_module("wave")
    assert importlib.import_module("wave").__name__ == "wave"


def test_a_package_that_is_loaded_already_stays() -> None:
    with without("json"):
        import json  # noqa: PLC0415 - the case
    assert json.loads("1") == 1


def test_a_run_loads_no_pandas_though_it_is_installed() -> None:
    assert importlib.util.find_spec("pandas"), "the demo's data set brings it"
    modules = "ingestor.bootstrap, ingestor.tables, ingestor.schema, ingestor.source, ingestor.publish"
    code = f"import sys, {modules}; print('pandas' in sys.modules)"
    done = run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "False\n"


def test_the_collector_looks_rarely() -> None:
    before = gc.get_threshold()
    gc.unfreeze()
    assert gc.get_freeze_count() == 0
    try:
        calm_collector.__wrapped__()
        assert gc.get_threshold()[0] == YOUNG_OBJECTS
        assert gc.get_freeze_count() > 0
    finally:
        gc.freeze()  # as the collection of the tests leaves it
        gc.set_threshold(*before)


def test_a_thread_that_waits_for_the_interpreter_has_it_soon() -> None:
    before = sys.getswitchinterval()
    try:
        tune_for_runs()
        assert sys.getswitchinterval() == pytest.approx(TURN_S)
    finally:
        sys.setswitchinterval(before)
