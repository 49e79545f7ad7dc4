"""The commands `ingestor serve` and `ingestor ops serve`: both HTTP services on this machine, as the container runs."""

import os
import sys
import tempfile

import click

from ingestor.config import load

SETTINGS = "python:ops.gunicorn_settings"
"""The image's. A module by its name, which gunicorn loads: what imports what stays one way."""


@click.command("serve")
def serve() -> None:
    """Serve POST /run, /health and /ready on 127.0.0.1:PORT."""
    _serve("ingestor.web:create_app()", "POST /run, GET /ready")


@click.group("ops")
def ops() -> None:
    """The operators' service."""


@ops.command("serve")
def ops_serve() -> None:
    """Serve the operators' pages and API on 127.0.0.1:PORT."""
    _serve("ops.web:create_app()", "pages under /, the API under /api")


def _serve(application: str, what: str) -> None:
    """Become the server; a wrong configuration is told before."""
    config = load()
    config.check_service()
    click.echo(f"http://127.0.0.1:{config.port}: {what}; Ctrl-C ends it", err=True)
    bind = ("--bind", f"127.0.0.1:{config.port}", "--worker-tmp-dir", tempfile.gettempdir())
    os.execv(sys.executable, [sys.executable, "-m", "gunicorn", "--config", SETTINGS, *bind, application])  # noqa: S606 - no shell is wanted
