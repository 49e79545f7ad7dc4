"""The operators' application on the replays' unit world: a ledger in memory, a bucket and a table of dictionaries."""

import io
from typing import Any

from ingestor.config import Config, load
from ingestor.logs import configure
from ops.service import Service

BASE = {
    "GCP_PROJECT_ID": "demo-project",
    "BQ_DATASET_ID": "demo",
    "BQ_TABLE_ID": "flights",
    "MESSAGE_TYPE": "flights.Flight",
    "SOURCE_URL": "http://127.0.0.1:1/flights",
    "DEAD_LETTER_BUCKET": "demo-dead-letters",
    "LEDGER": "sqlite:////nowhere/ledger.db",
    "AUTH": "none",
}


def config(**changed: str) -> Config:
    return load({**BASE, **changed})


def service(configured: Config, **how: Any) -> Service:
    return Service(configured, configure("ingestor", configured.pipeline_id, stream=io.StringIO()), **how)
