"""The commands `ingestor serve` and `ingestor ops serve`: both HTTP services on this machine, as the container runs."""

from typing import Any

import click

from ingestor.config import Config, load

SETTINGS = {
    "workers": 1,
    "threads": 8,
    "worker_class": "gthread",
    "timeout": 0,
    "graceful_timeout": 8,
    "keepalive": 5,
    "accesslog": None,
    "errorlog": "-",
    "loglevel": "warning",
    "control_socket_disable": True,
}
"""gunicorn's, those of Cloud Run: one process that settles its runs within 8 s of SIGTERM. The server sets requests no
time limit: a run ends itself at RUN_DEADLINE_S."""


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
    config = load()
    config.check_service()
    click.echo(f"http://127.0.0.1:{config.port}: {what}; Ctrl-C ends it", err=True)
    _gunicorn(application, config).run()


def _gunicorn(application: str, config: Config) -> Any:  # noqa: ANN401 - gunicorn has no types
    from gunicorn.app.base import BaseApplication  # noqa: PLC0415 - loaded by those who serve
    from gunicorn.util import import_app  # noqa: PLC0415 - likewise

    class Server(BaseApplication):  # type: ignore[misc]  # a class without types
        """gunicorn, told by this command and not by its own command line."""

        def load_config(self) -> None:
            for name, value in {**SETTINGS, "bind": f"127.0.0.1:{config.port}"}.items():
                self.cfg.set(name, value)

        def load(self) -> Any:  # noqa: ANN401 - a WSGI application
            return import_app(application)

    return Server()
