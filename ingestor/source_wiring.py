"""From the configuration to the source of one partition: way of paging, bounds, rate, credential, parallel pages."""

import time
from collections.abc import Callable
from functools import partial

from ingestor.config import Config
from ingestor.credentials import Credential, HeaderCredential, NoCredential, header_of, header_value
from ingestor.decode import decode
from ingestor.pace import Pace
from ingestor.pages import JsonValue, Source
from ingestor.paging import Paging, PagingSettings
from ingestor.paging_places import OffsetPaging
from ingestor.pagings import PAGINGS
from ingestor.parallel import ParallelPages
from ingestor.ranged import RangedSource
from ingestor.source import HttpSource, OnRetry
from ingestor.source_http import SourceLimits


def open_source(
    config: Config,
    *,
    partition: int = 0,
    deadline: float | None = None,
    on_retry: OnRetry | None = None,
    read: Callable[[bytes], JsonValue] = decode,
) -> Source:
    """Return the configured source of one partition; `deadline` is a reading of `time.monotonic`, `read` decodes."""
    paging = paging_of(config, partition)
    return build_source(config, paging, deadline=deadline, on_retry=on_retry, read=read)


def build_source(
    config: Config,
    paging: Paging,
    *,
    deadline: float | None = None,
    on_retry: OnRetry | None = None,
    read: Callable[[bytes], JsonValue] = decode,
) -> Source:
    """Return the source that pages in this way."""
    limits = SourceLimits(
        timeout_s=config.source_timeout_s,
        max_attempts=config.source_max_attempts,
        max_page_bytes=config.source_max_page_bytes,
    )
    build = partial(
        HttpSource,
        paging,
        limits,
        credential=credential_of(config),
        pace=Pace(config.source_rate_per_s, time.monotonic),
        cursor_param=config.source_cursor_param,
        deadline=deadline,
        on_retry=on_retry,
        read=read,
    )
    if config.source_parallel_pages == 1 or not isinstance(paging, OffsetPaging):
        return build()
    return ParallelPages([build() for _ in range(config.source_parallel_pages)], paging, config.source_page_size)


def open_ranged(config: Config, source: Source, to: str) -> Source:
    """Return the source up to cursor `to`."""
    return RangedSource(source, paging_of(config), to)


def paging_of(config: Config, partition: int = 0) -> Paging:
    """Return the configured way of paging."""
    return PAGINGS[config.source_pagination](paging_settings(config, partition))


def paging_settings(config: Config, partition: int = 0) -> PagingSettings:
    """Return what a way of paging needs of the configuration."""
    return PagingSettings(
        url=config.source_url_of(partition),
        records_path=config.source_records_path,
        cursor_param=config.source_cursor_param,
        next_path=config.source_next_path,
        page_size_param=config.source_page_size_param,
        page_size=config.source_page_size,
        start=config.source_start,
        field=config.source_cursor_field or "",
        overlap=config.source_overlap,
    )


def credential_of(config: Config) -> Credential:
    """Return the configured credential; nothing is fetched before it is used."""
    auth, secret = config.source_auth, config.source_secret
    if auth.startswith("id_token:"):
        from ingestor.id_tokens import IdTokenCredential  # noqa: PLC0415 - only the client in use is loaded

        return IdTokenCredential(auth.partition(":")[2])
    if secret is None:
        return NoCredential()

    def fetch() -> str:
        from ingestor.secret_manager import read_secret  # noqa: PLC0415 - likewise

        return header_value(auth, read_secret(secret, config.secret_manager_emulator_host))

    return HeaderCredential(header_of(auth), fetch)
