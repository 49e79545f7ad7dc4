"""Runs one command and kills it when whoever started the leash is gone, however that one died.

    python -I -S leash.py COMMAND ARG...

Whoever starts the leash holds the other end of its standard input and never writes to it: the kernel closes that end
when the process dies, SIGKILL included, and the leash then kills its whole process group. The parent-death signal of
Linux alone would not do, because it fires when the *thread* that started the child ends. It guards the second step:
leash killed, command left. Start the leash in a session of its own, so that the group holds nothing else.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def become_command() -> None:
    """Between fork and exec: heed SIGTERM again, and ask Linux to kill this process when the leash dies."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def watch_owner() -> None:
    """Block until standard input ends, then kill the process group, this process included."""
    with contextlib.suppress(OSError):
        while os.read(0, 1):
            pass
    os.killpg(0, signal.SIGKILL)


def main() -> int:
    """Run the command to its end and return its exit code."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # sent to the group: the command decides when to go
    command = subprocess.Popen(
        sys.argv[1:],
        stdin=subprocess.DEVNULL,
        preexec_fn=become_command,  # noqa: PLW1509 - no thread yet
    )
    threading.Thread(target=watch_owner, daemon=True).start()
    return command.wait()


if __name__ == "__main__":
    sys.exit(main())
