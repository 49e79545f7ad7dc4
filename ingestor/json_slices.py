"""Where the records of a JSON response lie among its bytes, found without decoding any of them. Pure.

For the one case in which a decoder cannot be asked: it ends the process. Slow, in time proportional to the body.
"""

import json
import re
from collections.abc import Iterator

Slice = tuple[int, int]
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{},:]|[^\s\[\]{},:"]+', re.DOTALL)
_OPENING, _CLOSING = frozenset(b"[{"), frozenset(b"]}")


def record_slices(body: bytes, path: str) -> list[Slice] | None:
    """Return the bounds of each element of the array at a dotted path (empty: the body is the array); None without one.

    Of a key that comes twice the last one counts, as with decoders.
    """
    wanted = path.split(".") if path else []
    found: list[Slice] | None = None
    stack: list[tuple[int, str | None]] = []  # the container's first byte, and the key at which its value stands
    key: str | None = None
    tokens = _TOKEN.finditer(body)
    last = b""
    for token in tokens:
        text, first = token.group(), token.group()[0]
        if first in _OPENING:
            place = [*(name for _, name in stack[1:]), key][: len(stack)] if stack else []
            is_wanted = first == ord("[") and place == wanted and all(kind == ord("{") for kind, _ in stack)
            if is_wanted:
                found = list(_elements(tokens))
                last, key = b"]", None
                continue
            stack.append((first, key))
            key = None
        elif first in _CLOSING:
            if not stack:
                return None
            key = stack.pop()[1]
        elif first == ord(":") and stack and stack[-1][0] == ord("{"):
            key = _text(last)
        elif first == ord(","):
            key = None
        last = text
    return found


def _elements(tokens: Iterator[re.Match[bytes]]) -> Iterator[Slice]:
    """Yield the bounds of an array's elements, from behind its bracket to its closing one."""
    depth, start, end = 0, -1, -1
    for token in tokens:
        first = token.group()[0]
        if depth == 0 and first in {ord(","), ord("]")}:
            if start >= 0:
                yield start, end
            if first == ord("]"):
                return
            start = -1
            continue
        if start < 0:
            start = token.start()
        depth += (first in _OPENING) - (first in _CLOSING)
        end = token.end()


def _text(token: bytes) -> str | None:
    try:
        text = json.loads(token)
    except ValueError:
        return None
    return text if isinstance(text, str) else None
