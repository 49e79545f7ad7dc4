import pytest

from ingestor.paging import BadCursor, PagingSettings, Reading
from ingestor.paging_links import HeaderLinkPaging, NextLinkPaging, next_link

SETTINGS = PagingSettings(
    url="https://api.example.com/v1/items?key=s3cret&from=1", records_path="items", next_path="next"
)
FIRST = "https://api.example.com/v1/items?key=s3cret&from=1&limit=1000"


@pytest.mark.parametrize(
    ("cursor", "link", "followed", "then"),
    [
        (None, None, None, None),
        (None, "", None, None),
        (
            None,
            "https://api.example.com/v1/items?page=2",
            "/v1/items?page=2",
            "https://api.example.com/v1/items?page=2",
        ),
        (None, "/v1/items?page=2", "/v1/items?page=2", "https://api.example.com/v1/items?page=2"),
        (None, "?page=2", "/v1/items?page=2", "https://api.example.com/v1/items?page=2"),
        (
            None,
            "https://api.example.com/v1/items?key=s3cret&page=2&from=7",
            "/v1/items?{key}&page=2&from=7",
            "https://api.example.com/v1/items?key=s3cret&page=2&from=7",
        ),
        ("/v1/items?page=2", "page/3", "/v1/page/3", "https://api.example.com/v1/page/3"),
        (None, "http://api.example.com/x", "/x", "https://api.example.com/x"),
        (None, "https://api.example.com:443/x", "/x", "https://api.example.com/x"),
    ],
)
def test_a_link_is_followed_at_the_configured_host_and_kept_without_its_secrets(
    cursor: str | None, link: str | None, followed: str | None, then: str | None
) -> None:
    paging = NextLinkPaging(SETTINGS)
    assert paging.url(None) == FIRST
    assert paging.read(cursor, {"items": [1], "next": link}, {}) == Reading([1], followed)
    if followed is not None:
        assert paging.url(followed) == then
        assert "s3cret" not in followed


@pytest.mark.parametrize(
    "link", ["https://evil.example.com/v1/items?page=2", "//evil.example.com/x", "https://api.example.com:8443/x"]
)
def test_a_link_to_another_host_is_refused_and_named(link: str) -> None:
    with pytest.raises(BadCursor, match=r"leads to another host, '.*': set SOURCE_URL"):
        NextLinkPaging(SETTINGS).read(None, {"items": [1], "next": link}, {})


@pytest.mark.parametrize("link", [7, {"href": "/x"}, ["/x"], True])
def test_a_link_that_is_no_text_is_refused(link: object) -> None:
    with pytest.raises(BadCursor, match=r"the next link at 'next' is no text: set SOURCE_NEXT_PATH"):
        NextLinkPaging(SETTINGS).read(None, {"items": [1], "next": link}, {})


def test_a_page_that_links_to_itself_is_the_end_when_it_is_empty_and_refused_when_not() -> None:
    paging = NextLinkPaging(SETTINGS)
    assert paging.read("/v1/items?page=2", {"items": [], "next": "?page=2"}, {}) == Reading([], None)
    with pytest.raises(BadCursor, match="names itself as the next one"):
        paging.read("/v1/items?page=2", {"items": [1], "next": "?page=2"}, {})


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ("", None),
        ('</x?page=2>; rel="next"', "/x?page=2"),
        ("</x>; rel=next", "/x"),
        ('</a>; rel="prev", </b>; rel="next"', "/b"),
        ('</a>; rel="next last", </b>; rel="first"', "/a"),
        ('</a>; REL="Next"', "/a"),
        ('</a;v=1?x=1,2>; title="a, <b>; rel=\\"next\\""; rel="next"', "/a;v=1?x=1,2"),
        ('</a>; rel="prev"; rel="next"', None),
        ('</a>; rel="nextish"', None),
        ('</a> ; rel = "next"', "/a"),
        ("</a>; crossorigin; rel=next", "/a"),
        ("not a link", None),
    ],
)
def test_the_next_link_of_a_header_is_found_as_rfc_8288_writes_it(header: str, target: str | None) -> None:
    assert next_link(header) == target


def test_a_header_link_is_followed_like_a_link_in_the_response() -> None:
    paging = HeaderLinkPaging(SETTINGS)
    headers = {"Link": '<https://api.example.com/v1/items?key=s3cret&page=2>; rel="next"'}
    assert paging.read(None, {"items": [1]}, headers) == Reading([1], "/v1/items?{key}&page=2")
    assert paging.read("/v1/items?page=2", {"items": [1]}, {}) == Reading([1], None)


def test_opaque_cursors_reach_only_what_they_are_equal_to() -> None:
    paging = NextLinkPaging(SETTINGS)
    assert (paging.reaches("/a", "/a"), paging.reaches("/b", "/a")) == (True, False)
