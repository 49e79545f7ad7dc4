#!/usr/bin/env bash
# The browser that tests/ui drives, installed where the tests must run: Debian's Chromium without a window, which shows
# the same pages for less than half of the time. Where it cannot be had another one will do.
set -euo pipefail
! command -v chromium-headless-shell >/dev/null || exit 0
[ "$(id -u)" = 0 ] && as_root=() || as_root=(sudo)
install() {
  "${as_root[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -qq -y --no-install-recommends chromium-headless-shell
}
echo "Installing Chromium for the tests of the pages"
install >/dev/null || command -v chromium chromium-browser google-chrome >/dev/null
