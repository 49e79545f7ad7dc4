"""What a run costs at list prices, from what it counted. Pure.

List prices in US dollars of November 2026, for one region of the cheapest tier (us-central1), beyond the free tiers;
they age and differ by region. Not in it: BigQuery's storage and queries, network, Scheduler, logs, the few document
reads with which a lane is opened, and what the free tiers give (Storage Write API: 2 TiB a month; Firestore: 20,000
writes a day; Cloud Run: 180,000 vCPU-seconds a month).
"""

from dataclasses import dataclass
from typing import Any

GIB = 1024**3
WRITE_API_USD_PER_GIB = 0.025
"""BigQuery pricing, "Data ingestion": Storage Write API. By bytes of the rows; the minimum of 1 KB a row belongs to the
REST API (`insertAll`)."""
FIRESTORE_USD_PER_WRITE = 0.09 / 100_000
"""Firestore pricing, document writes in a region (twice that in a multi-region)."""
STORAGE_USD_PER_WRITE = 0.005 / 1_000
"""Cloud Storage pricing, Class A operations, standard storage."""
CLOUD_RUN_USD_PER_S = 1 * 0.000024 + 0.5 * 0.0000025
"""Cloud Run pricing, request-based billing: one vCPU and 512 MiB while a request is served."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a run used: bytes of rows sent, repeats included; documents written; objects stored; seconds of work."""

    write_api_bytes: int
    firestore_writes: int
    storage_writes: int
    cloud_run_s: float

    @property
    def usd(self) -> float:
        """What it costs at list prices, in US dollars."""
        return (
            self.write_api_bytes / GIB * WRITE_API_USD_PER_GIB
            + self.firestore_writes * FIRESTORE_USD_PER_WRITE
            + self.storage_writes * STORAGE_USD_PER_WRITE
            + self.cloud_run_s * CLOUD_RUN_USD_PER_S
        )

    def summary(self, rows: int) -> dict[str, Any]:
        """Return what the run summary says; `usd_per_million_rows` is None where no row was committed."""
        return {
            "write_api_bytes": self.write_api_bytes,
            "firestore_writes": self.firestore_writes,
            "storage_writes": self.storage_writes,
            "cloud_run_s": round(self.cloud_run_s, 3),
            "usd": round(self.usd, 8),
            "usd_per_million_rows": round(self.usd / rows * 1_000_000, 6) if rows else None,
        }
