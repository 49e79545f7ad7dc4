"""The operators' application before any page or route of its own: the door is shut."""

from ops.web import create_app
from tests.unit.ops.apps import config, service


def test_a_path_that_does_not_exist_is_told_only_to_callers_that_are_admitted() -> None:
    app = create_app(service=service(config()))
    client = app.test_client()
    assert client.get("/nowhere").status_code == 404
    assert client.get("/nowhere", headers={"Host": "evil.example.com"}).status_code == 403
    assert client.get("/nowhere", environ_base={"REMOTE_ADDR": "10.0.0.1"}).status_code == 403
