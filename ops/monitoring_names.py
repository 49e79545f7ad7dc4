"""The platform's metrics that dashboards, alerts and SLOs may use; our own follow from `ingestor.lognames`.

A name that is not here has not been looked up in Google's lists of metrics, or is known not to say what it seems to:
object counts of a bucket are daily, and Cloud Scheduler has no metric that can be trusted.
"""

from typing import Final

PLATFORM_METRICS: Final = frozenset({
    "bigquerystorage.googleapis.com/write/concurrent_connections",
    "bigquerystorage.googleapis.com/write/uploaded_bytes_count",
    "bigquerystorage.googleapis.com/write/uploaded_row_count",
    "firestore.googleapis.com/api/request_count",
    "firestore.googleapis.com/api/request_latencies",
    "firestore.googleapis.com/document/ttl_deletion_count",
    "firestore.googleapis.com/document/write_ops_count",
    "run.googleapis.com/job/completed_execution_count",
    "run.googleapis.com/request_count",
    "run.googleapis.com/request_latencies",
    "serviceruntime.googleapis.com/quota/exceeded",
    "storage.googleapis.com/api/request_count",
})  # fmt: skip
PLATFORM_FAMILIES: Final = ("run.googleapis.com/container/",)
"""Beginnings of names of which every continuation will do."""
QUOTA_METRICS: Final = frozenset({"bigquerystorage.googleapis.com/write/append_bytes"})
"""Values of the label `quota_metric` of `quota/exceeded`."""


def is_known(metric: str) -> bool:
    """Return whether a platform metric of this name may be used."""
    return metric in PLATFORM_METRICS or metric.startswith(PLATFORM_FAMILIES)
