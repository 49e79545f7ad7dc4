import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from ingestor.config import Config, describe, load
from ingestor.errors import ConfigurationError

REQUIRED = {
    "GCP_PROJECT_ID": "demo-project",
    "BQ_DATASET_ID": "flights",
    "BQ_TABLE_ID": "departures",
    "MESSAGE_TYPE": "flights.Flight",
    "SOURCE_URL": "https://api.example.com/v1/flights",
    "DEAD_LETTER_BUCKET": "dead-letters",
}


def problems(**changes: str) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        load(REQUIRED | changes)
    return str(raised.value).splitlines()


def test_the_required_variables_are_enough_and_the_rest_has_the_contracts_defaults() -> None:
    config = load(REQUIRED)
    assert config.pipeline_id == "departures"
    assert (config.batch_max_rows, config.batch_max_bytes, config.max_in_flight) == (5000, 4_194_304, 8)
    assert (config.append_max_attempts, config.append_timeout_s, config.ledger_stale_s) == (5, 60, 180)
    assert (config.source_page_size, config.source_max_page_bytes, config.source_timeout_s) == (1000, 67_108_864, 30)
    assert (config.run_deadline_s, config.fuse_consecutive, config.fuse_ratio) == (480, 5, 0.2)
    assert (config.ledger, config.firestore_database, config.ledger_retention_days) == ("firestore", "(default)", 90)
    assert (config.auth, config.service_label, config.log_level, config.port) == ("oidc", "ingestor", "INFO", 8080)
    assert (config.source_cursor_param, config.source_next_path) == ("cursor", "next_cursor")


def test_every_missing_variable_is_reported_at_once() -> None:
    with pytest.raises(ConfigurationError) as raised:
        load({})
    lines = str(raised.value).splitlines()
    assert [line.split(":")[0] for line in lines] == list(REQUIRED)
    assert all(re.fullmatch(r"[A-Z_]+: is missing: set .+", line) for line in lines)


def test_an_empty_variable_counts_as_unset() -> None:
    assert load(REQUIRED | {"BATCH_MAX_ROWS": "", "LEDGER": "  ", "SOURCE_RATE_PER_S": ""}) == load(REQUIRED)
    assert problems(BQ_TABLE_ID="") == ["BQ_TABLE_ID: is missing: set the destination table (not its views)"]


def test_problems_of_all_kinds_come_in_one_report() -> None:
    lines = problems(
        GCP_PROJECT_ID="",
        BATCH_MAX_ROWS="many",
        BATCH_MAX_BYTES="16 MiB",
        APPEND_TIMEOUT_S="200",
        SOURCE_PARTITIONS="0",
        SOURCE_TIMEOUT="5",
    )
    assert [line.split(":")[0] for line in lines] == [
        "GCP_PROJECT_ID",
        "SOURCE_PARTITIONS",
        "BATCH_MAX_ROWS",
        "BATCH_MAX_BYTES",
        "LEDGER_STALE_S",
        "SOURCE_TIMEOUT",
    ]
    assert lines[2] == (
        "BATCH_MAX_ROWS: should be a whole number, in digits only ('many'): set the rows that cut a batch, 1 to 40000"
    )
    assert lines[3].startswith("BATCH_MAX_BYTES: input should be less than or equal to 15728640 ('16 MiB'): set ")


SECRET = "projects/p/secrets/s/versions/1"  # noqa: S105  # a name
COMPANIONS = {
    "SOURCE_AUTH": {"SOURCE_SECRET": SECRET},
    "SOURCE_PARTITIONS": {"SOURCE_URL": "http://x/{partition}"},
}
"""What a setting cannot do without."""


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("BATCH_MAX_ROWS", "1", 1),
        ("BATCH_MAX_ROWS", " 40000 ", 40_000),
        ("BATCH_MAX_BYTES", "15728640", 15_728_640),
        ("BATCH_MAX_BYTES", "15 MiB", 15_728_640),
        ("BATCH_MAX_BYTES", "15MiB", 15_728_640),
        ("SOURCE_MAX_PAGE_BYTES", "512kib", 524_288),
        ("SOURCE_MAX_PAGE_BYTES", "1 GiB", 1_073_741_824),
        ("FUSE_RATIO", "1", 1.0),
        ("FUSE_RATIO", ".05", 0.05),
        ("SOURCE_RATE_PER_S", "2.5", 2.5),
        ("SOURCE_AUTH", "header:X-Api-Key", "header:X-Api-Key"),
        ("SOURCE_PAGINATION", "Offset", "offset"),
        ("DEDUP_KEY", "id, day", ("id", "day")),
        ("LOG_LEVEL", "debug", "DEBUG"),
        ("LEDGER", "sqlite:///.local/ledger.db", "sqlite:///.local/ledger.db"),
        ("SOURCE_PAGE_SIZE_PARAM", "", ""),
        ("GCP_PROJECT_ID", "example.com:project", "example.com:project"),
        ("AUTH_VIEWERS", "a@b.c, d@e.f,", ("a@b.c", "d@e.f")),
        ("FIRESTORE_EMULATOR_HOST", "[::1]:8085", "[::1]:8085"),
        ("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("CLOUD_RUN_TASK_INDEX", "0", 0),
        (
            "SOURCE_URL",
            "http://{partition}.api:8080/x?day={partition}",
            "http://{partition}.api:8080/x?day={partition}",
        ),
    ],
)
def test_a_value_is_read_in_each_form_it_may_have(variable: str, text: str, value: object) -> None:
    assert getattr(load(REQUIRED | COMPANIONS.get(variable, {}) | {variable: text}), variable.lower()) == value


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("BATCH_MAX_ROWS", "0"),
        ("BATCH_MAX_ROWS", "40001"),
        ("BATCH_MAX_ROWS", "-1"),
        ("BATCH_MAX_ROWS", "5e3"),
        ("BATCH_MAX_ROWS", "5_000"),
        ("BATCH_MAX_ROWS", "9" * 5000),
        ("BATCH_MAX_ROWS", "\u0665"),
        ("BATCH_MAX_BYTES", "15728641"),
        ("BATCH_MAX_BYTES", "15.5 MiB"),
        ("BATCH_MAX_BYTES", "4 MB"),
        ("BATCH_MAX_BYTES", "0"),
        ("FUSE_RATIO", "0"),
        ("FUSE_RATIO", "1.01"),
        ("FUSE_RATIO", "nan"),
        ("FUSE_CONSECUTIVE", "0"),
        ("SOURCE_RATE_PER_S", "inf"),
        ("SOURCE_AUTH", "header:"),
        ("SOURCE_SECRET", "the credential itself"),
        ("PIPELINE_ID", ""),
        ("PIPELINE_ID", "a/b"),
        ("PIPELINE_ID", ".."),
        ("PIPELINE_ID", "."),
        ("PIPELINE_ID", "__flights__"),
        ("PIPELINE_ID", "x" * 201),
        ("PIPELINE_ID", "\u00e9" * 101),
        ("GCP_PROJECT_ID", "My Project"),
        ("BQ_DATASET_ID", "d.s"),
        ("BQ_TABLE_ID", "t`; DROP"),
        ("MESSAGE_TYPE", "flights."),
        ("SOURCE_URL", "ftp://api.example.com"),
        ("SOURCE_URL", "api.example.com/x"),
        ("SOURCE_URL", "http://api.example.com:port/"),
        ("SOURCE_URL", "https:///path"),
        ("SOURCE_URL", "https://a b.example.com"),
        ("SOURCE_RECORDS_PATH", "data..items"),
        ("LEDGER", "sqlite://ledger.db"),
        ("LEDGER", "sqlite:///"),
        ("LEDGER", "postgres:///x"),
        ("DEAD_LETTER_BUCKET", "gs://bucket"),
        ("DEAD_LETTER_BUCKET", "bucket/path"),
        ("AUTH", "open"),
        ("AUTH_INVOKERS", "someone"),
        ("PORT", "65536"),
        ("FIRESTORE_EMULATOR_HOST", "localhost"),
        ("FIRESTORE_EMULATOR_HOST", "http://localhost:1"),
        ("LOG_LEVEL", "LOUD"),
        ("SOURCE_START", "a\nb"),
    ],
)
def test_a_value_that_cannot_be_used_is_one_line_with_what_to_set(variable: str, text: str) -> None:
    lines = problems(**{variable: text})
    assert len(lines) == 1
    assert re.fullmatch(rf"{variable}: .+: .*set .+", lines[0])
    assert len(lines[0]) < 300


@pytest.mark.parametrize(
    ("stale_s", "timeout_s", "fits"),
    [("97", "60", True), ("96", "60", False), ("25", "1", False), ("26", "1", True), ("180", "129", True)],
)
def test_five_sixths_of_the_stale_time_must_exceed_the_append_timeout_and_twenty_seconds(
    stale_s: str, timeout_s: str, *, fits: bool
) -> None:
    changes = {"LEDGER_STALE_S": stale_s, "APPEND_TIMEOUT_S": timeout_s}
    assert (5 * int(stale_s) > 6 * (int(timeout_s) + 20)) is fits
    if fits:
        assert load(REQUIRED | changes).ledger_stale_s == int(stale_s)
    else:
        assert [line.split(":")[0] for line in problems(**changes)] == ["LEDGER_STALE_S"]


def test_a_table_id_that_cannot_name_a_pipeline_asks_for_a_pipeline_id() -> None:
    (line,) = problems(BQ_TABLE_ID="__x__")
    assert re.fullmatch(r"PIPELINE_ID: is reserved: .* \('__x__'\): set .*\(unset: BQ_TABLE_ID\)", line)
    assert load(REQUIRED | {"BQ_TABLE_ID": "__x__", "PIPELINE_ID": "x"}).pipeline_id == "x"


TOGETHER: list[tuple[dict[str, str], str]] = [
    ({"SOURCE_PARTITIONS": "2"}, "SOURCE_URL: has no {partition} with SOURCE_PARTITIONS=2"),
    ({"SOURCE_AUTH": "bearer"}, "SOURCE_SECRET: is missing with SOURCE_AUTH=bearer"),
    ({"SOURCE_AUTH": "header:X-Key"}, "SOURCE_SECRET: is missing with SOURCE_AUTH=header:X-Key"),
    ({"SOURCE_SECRET": SECRET}, "SOURCE_SECRET: is not used by SOURCE_AUTH=none"),
    ({"SOURCE_AUTH": "id_token:https://x", "SOURCE_SECRET": SECRET}, "SOURCE_SECRET: is not used by SOURCE_AUTH=id_to"),
    (
        {"SOURCE_PAGINATION": "high_water_mark"},
        "SOURCE_CURSOR_FIELD: is missing with SOURCE_PAGINATION=high",
    ),
    ({"SOURCE_CURSOR_FIELD": "at"}, "SOURCE_CURSOR_FIELD: is not used by SOURCE_PAGINATION=next_cursor"),
    ({"SOURCE_OVERLAP": "5"}, "SOURCE_OVERLAP: is not used by SOURCE_PAGINATION=next_cursor"),
    ({"SOURCE_PARALLEL_PAGES": "2"}, "SOURCE_PARALLEL_PAGES: only SOURCE_PAGINATION=offset knows pages ahead"),
    ({"SOURCE_PAGINATION": "offset", "SOURCE_START": "x"}, "SOURCE_START: is no offset ('x')"),
]


@pytest.mark.parametrize(("settings", "beginning"), TOGETHER)
def test_settings_of_the_source_that_make_no_sense_together_are_refused(
    settings: dict[str, str], beginning: str
) -> None:
    (line,) = problems(**settings)
    assert line.startswith(beginning)
    assert ": set " in line.removeprefix(beginning)


@pytest.mark.parametrize(
    "settings",
    [
        {"SOURCE_AUTH": "bearer", "SOURCE_SECRET": SECRET},
        {"SOURCE_AUTH": "id_token:https://x"},
        {"SOURCE_PAGINATION": "high_water_mark", "SOURCE_CURSOR_FIELD": "at", "SOURCE_OVERLAP": "5"},
        {"SOURCE_PAGINATION": "offset", "SOURCE_PARALLEL_PAGES": "4", "SOURCE_START": "10"},
    ],
)
def test_settings_of_the_source_that_belong_together_are_taken(settings: dict[str, str]) -> None:
    config = load(REQUIRED | settings)
    assert config.source_pagination == settings.get("SOURCE_PAGINATION", "next_cursor")


@pytest.mark.parametrize(
    ("typo", "known"),
    [
        ("SOURCE_TIMEOUT", "SOURCE_TIMEOUT_S"),
        ("SOURCE_TIMEOUT_MS", "SOURCE_TIMEOUT_S"),
        ("SOURCE_URI", "SOURCE_URL"),
        ("BATCH_ROWS", "BATCH_MAX_ROWS"),
        ("BATCH_MAX_BYTE", "BATCH_MAX_BYTES"),
        ("BQ_DATASET", "BQ_DATASET_ID"),
        ("BQ_TABLE", "BQ_TABLE_ID"),
        ("LEDGER_STALE", "LEDGER_STALE_S"),
        ("DEAD_LETTERS_BUCKET", "DEAD_LETTER_BUCKET"),
        ("APPEND_TIMEOUT", "APPEND_TIMEOUT_S"),
        ("FUSE_RATE", "FUSE_RATIO"),
    ],
)
def test_a_variable_that_looks_like_a_typo_is_reported_with_the_name_meant(typo: str, known: str) -> None:
    assert problems(**{typo: "1"}) == [f"{typo}: is not a variable of the ingestor: set {known}, or unset it"]


@pytest.mark.parametrize(
    "variable",
    ["SOURCE_DATE_EPOCH", "SOURCE_VERSION", "SOURCE_BRANCH", "SOURCE_COMMIT", "SOURCE_DIR", "BATCH_TASK_INDEX", "PATH"],
)
def test_other_software_variables_are_left_alone(variable: str) -> None:
    assert load(REQUIRED | {variable: "1"}) == load(REQUIRED)


def test_secrets_appear_neither_in_the_object_nor_in_a_report() -> None:
    config = load(REQUIRED | {"SOURCE_URL": "https://user:hunter2@api.example.com/?key=hunter2"})
    assert "hunter2" not in repr(config)
    lines = problems(SOURCE_URL="ftp://user:hunter2@api.example.com/x?key=hunter2", SOURCE_SECRET="hunter2")  # noqa: S106  # the case
    assert len(lines) == 2
    assert "hunter2" not in "".join(lines)
    assert "ftp://api.example.com/x" in lines[0]


@pytest.mark.parametrize(
    "url",
    [
        "user:hunter2@api.example.com",
        "http://user:hunter2@api.example.com:port/",
        "http://user:hunter2/x@api.example.com",
        "http://user:hunter2?x@api.example.com",
        "http://user:hunter2#x@api.example.com",
        "ftp://api.example.com/?mail=a@b.c&key=hunter2",
    ],
)
def test_what_may_be_a_secret_in_a_url_is_not_shown_nor_kept_in_the_error(url: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(REQUIRED | {"SOURCE_URL": url})
    assert "hunter2" not in str(raised.value)
    assert raised.value.__context__ is None


SERVICE = {"AUTH_AUDIENCE": "https://run.example.com"}


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        (SERVICE, ""),
        ({}, "AUTH_AUDIENCE: is missing with AUTH=oidc"),
        ({"AUTH": "iap"}, "AUTH_AUDIENCE: is missing with AUTH=iap"),
        ({"AUTH": "none"}, ""),
        ({"AUTH": "none", "K_SERVICE": "ingestor"}, "AUTH: must not be none on Cloud Run"),
        ({"AUTH": "platform"}, "AUTH: platform trusts Cloud Run"),
        ({"AUTH": "platform", "K_SERVICE": "ingestor"}, ""),
    ],
)
def test_only_the_services_are_held_to_the_rules_of_auth(changes: dict[str, str], refused: str) -> None:
    config = load(REQUIRED | changes)
    if refused:
        with pytest.raises(ConfigurationError, match=re.escape(refused)):
            config.check_service()
    else:
        config.check_service()


def test_the_object_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load(REQUIRED).port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("ledger", "path"),
    [("firestore", None), ("sqlite:///a/b.db", Path("a/b.db")), ("sqlite:////srv/b.db", Path("/srv/b.db"))],
)
def test_three_slashes_name_a_relative_ledger_and_four_an_absolute_one(ledger: str, path: Path | None) -> None:
    assert load(REQUIRED | {"LEDGER": ledger}).sqlite_path == path


def test_the_partition_takes_its_place_in_the_url() -> None:
    assert load(REQUIRED | {"SOURCE_URL": "http://h/{partition}"}).source_url_of(7) == "http://h/7"


def test_the_process_environment_is_read_when_no_other_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in REQUIRED.items():
        monkeypatch.setenv(variable, value)
    assert load().bq_table_id == "departures"


def test_every_setting_is_described() -> None:
    described = {variable: (meaning, default) for variable, meaning, default in describe()}
    assert list(described) == [name.upper() for name in Config.model_fields]
    assert all(meaning for meaning, _ in described.values())
    assert {v for v, (_, default) in described.items() if default == "required"} == set(REQUIRED)
    assert described["BATCH_MAX_BYTES"][1] == "4 MiB"
    assert described["SOURCE_OVERLAP"][1] == "0"
    assert described["AUTH_VIEWERS"][1] == ""
    assert described["PIPELINE_ID"][1] == "BQ_TABLE_ID"


def test_importing_the_configuration_loads_no_client_library() -> None:
    code = (
        "import sys, ingestor.config; print({'requests', 'grpc', 'google.cloud', 'pydantic_settings'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_nothing_else_reads_the_environment() -> None:
    root = Path(__file__).parents[2]
    readers = [
        path.relative_to(root).as_posix()
        for package in ("ingestor", "state")
        for path in sorted((root / package).rglob("*.py"))
        if re.search(r"\bos\.(environ|getenv)\b", path.read_text())
    ]
    assert readers == ["ingestor/config.py"]
