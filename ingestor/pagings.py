"""Ways of paging by their name in SOURCE_PAGINATION."""

from collections.abc import Callable, Mapping

from ingestor.paging import Paging, PagingSettings
from ingestor.paging_links import HeaderLinkPaging, NextCursorPaging, NextLinkPaging
from ingestor.paging_marks import HighWaterMarkPaging
from ingestor.paging_places import OffsetPaging, WholePaging

PAGINGS: Mapping[str, Callable[[PagingSettings], Paging]] = {
    "next_cursor": NextCursorPaging,
    "next_link": NextLinkPaging,
    "header_link": HeaderLinkPaging,
    "offset": OffsetPaging,
    "high_water_mark": HighWaterMarkPaging,
    "none": WholePaging,
}
