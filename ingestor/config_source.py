"""Settings of the source that only make sense together. Each problem is one line, like those of single settings."""

from collections.abc import Iterator

from ingestor.config_model import Config

_NEEDS_SECRET = ("bearer", "basic", "header:")


def source_problems(config: Config) -> Iterator[str]:
    """Yield what is wrong between settings that are fine by themselves."""
    auth, paging = config.source_auth, config.source_pagination
    if auth.startswith(_NEEDS_SECRET) and config.source_secret is None:
        yield f"SOURCE_SECRET: is missing with SOURCE_AUTH={auth}: set the Secret Manager version of the credential"
    if not auth.startswith(_NEEDS_SECRET) and config.source_secret is not None:
        yield f"SOURCE_SECRET: is not used by SOURCE_AUTH={auth}: set bearer, basic or header:NAME, or unset it"
    marks = paging == "high_water_mark"
    if marks and config.source_cursor_field is None:
        yield "SOURCE_CURSOR_FIELD: is missing with SOURCE_PAGINATION=high_water_mark: set the field that is sorted by"
    if not marks and config.source_cursor_field is not None:
        yield f"SOURCE_CURSOR_FIELD: is not used by SOURCE_PAGINATION={paging}: set high_water_mark, or unset it"
    if not marks and config.source_overlap:
        yield f"SOURCE_OVERLAP: is not used by SOURCE_PAGINATION={paging}: set high_water_mark, or leave it at 0"
    if paging != "offset" and config.source_parallel_pages > 1:
        yield f"SOURCE_PARALLEL_PAGES: only SOURCE_PAGINATION=offset knows pages ahead ({paging!a}): set 1"
    if config.source_partitions > 1 and "{partition}" not in config.source_url:
        many = config.source_partitions
        yield f"SOURCE_URL: has no {{partition}} with SOURCE_PARTITIONS={many}: set a URL that says where it goes"
    if paging == "offset" and config.source_start is not None and not config.source_start.isdecimal():
        yield f"SOURCE_START: is no offset ({config.source_start[:80]!a}): set a whole number"
