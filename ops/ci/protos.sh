#!/usr/bin/env bash
# Lint the protos with the pinned buf, and compare them with the last release. Without npm it says so and passes; in CI (CI=true) that is a failure.
# No lock file: npm's would name the registry that it was resolved with. The version is pinned here instead.
set -euo pipefail
version=1.75.0
home=.cache/buf
buf=$home/node_modules/.bin/buf
if ! command -v npm >/dev/null; then
  if [ "${CI:-}" = true ]; then
    echo "the protos cannot be checked: there is no npm; install Node.js 18 or newer" >&2
    exit 1
  fi
  echo "NOTICE: the protos were not checked: there is no npm; install Node.js 18 or newer" >&2
  exit 0
fi
if [ "$("$buf" --version 2>/dev/null || true)" != "$version" ]; then
  npm install --no-save --no-package-lock --no-audit --no-fund --ignore-scripts --loglevel=error --prefix "$home" "@bufbuild/buf@$version"
fi
"$buf" lint
# Readers of the released messages must go on working: what is compared is a copy of the protos at the last release.
"$buf" breaking --against tests/golden/protos
