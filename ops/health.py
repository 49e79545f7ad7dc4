"""The image's health check: `python -m ops.health PORT` exits 0 when the service on this machine answers 200."""

import sys
import urllib.error
import urllib.request

TIMEOUT_S = 4


def main() -> int:
    """Return 0 when `GET /health` answers, else 1."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/health", timeout=TIMEOUT_S) as answer:
            return 0 if answer.status == 200 else 1  # noqa: PLR2004 - HTTP's own word
    except (OSError, urllib.error.URLError):
        return 1


if __name__ == "__main__":
    sys.exit(main())
