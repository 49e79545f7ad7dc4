#!/usr/bin/env bash
# Create a virtual environment and install a lock file into it, hashes checked.
#   install.sh PYTHON VENV LOCK [--lazy]
# --lazy leaves compiling to the first import: for tools of which a part is used.
# uv installs in seconds what takes pip most of a minute; where uv cannot be had or fails, pip does the same.
set -euo pipefail
python=$1 venv=$2 lock=$3 compile=--compile-bytecode
[ "${4:-}" != --lazy ] || compile=--no-compile-bytecode
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "Python 3.11 or newer is needed; '$python' is $("$python" -V 2>&1). Set PYTHON=/path/to/python3.11 and try again." >&2
  exit 2
}
[ -x "$venv/bin/pip" ] || "$python" -m venv "$venv"
echo "Installing $lock into $venv" >&2
if "$venv/bin/pip" install --quiet --disable-pip-version-check uv &&
  "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --require-hashes "$compile" --requirement "$lock"; then
  exit 0
fi
echo "uv is not usable here; installing with pip, which takes a little longer" >&2
"$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement "$lock"
