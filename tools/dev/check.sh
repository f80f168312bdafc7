#!/usr/bin/env bash
# Checks without running the program. Prints "ok NAME" or "not ok NAME" a check; exit status 1 if one failed.
# Functions are called by name.
# shellcheck disable=SC2317
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit

status=0
check() {
  local name=$1
  shift
  if "$@"; then echo "ok $name"; else
    echo "not ok $name"
    status=1
  fi
}

tidy() {
  command -v clang-tidy-14 > /dev/null || return 1
  cmake --preset debug > /dev/null || return 1
  find src -name '*.cpp' -print0 | xargs -0 -P "$(nproc)" -n 4 clang-tidy-14 -p build/debug --quiet --extra-arg=-Wno-unknown-warning-option
}

scripts() {
  local files
  mapfile -t files < <(grep -lE '^#!.*\bbash' dev .ci/run tools/*.sh tools/dev/*.sh)
  shellcheck -x "${files[@]}" tools/dev/lib.sh
}

check "format" tools/check_format.sh
check "layers" python3 tools/check_layers.py
check "layers: its own test" python3 tools/check_layers_test.py
if command -v shellcheck > /dev/null; then check "shell scripts" scripts; else
  echo "skip shell scripts: shellcheck is not installed"
fi
if [ "${1:-}" = --tidy ]; then check "clang-tidy" tidy; fi
exit $status
