"""`python -m ops.local up`: start the local stack, say where everything is, and keep it until Ctrl-C."""

import argparse
import signal
import sys

from ops.local.process import ROOT, Service, ServiceError
from ops.local.stack import LocalStack


def main() -> int:
    """Parse the command line and run it."""
    parser = argparse.ArgumentParser(prog="python -m ops.local")
    commands = parser.add_subparsers(required=True, metavar="up")
    up_parser = commands.add_parser("up", help="start everything and stay until Ctrl-C")
    up_parser.add_argument(
        "--sqlite", action="store_true", help="keep the ledger in SQLite although Firestore is there"
    )
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return up(firestore=False if arguments.sqlite else None)
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped")
        return 0


def up(*, firestore: bool | None) -> int:
    """Start the stack and wait for Ctrl-C (or SIGTERM)."""
    stack = LocalStack(firestore=firestore)
    stack.start(each=tell)
    try:
        if stack.notice:
            print(f"\n{stack.notice}")
        path = stack.write_env()
        print(f"\n{path.read_text()}\nIn another terminal: source {path.relative_to(ROOT)}   Ctrl-C here stops all.")
        print("All data is in memory and goes with the stack.", flush=True)
        while True:
            signal.pause()
    finally:
        stack.stop()


def tell(service: Service, seconds: float) -> None:
    """Print that a service is ready."""
    ports = ", ".join(map(str, service.ports))
    print(f"{service.name:16} ready after {seconds:4.1f} s on port {ports}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
