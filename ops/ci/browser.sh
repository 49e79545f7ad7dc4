#!/usr/bin/env bash
# The browser that tests/ui drives: Debian's own Chromium, installed where the tests must run (CI) and it is not there.
set -euo pipefail
for name in chromium chromium-browser google-chrome; do
  command -v "$name" >/dev/null && exit 0
done
[ "$(id -u)" = 0 ] && as_root=() || as_root=(sudo)
echo "Installing Chromium for the tests of the pages"
"${as_root[@]}" apt-get update -qq
DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -qq -y --no-install-recommends chromium >/dev/null
