#!/usr/bin/env bash
# Fails and names the places when C++ is not as .clang-format wants it. `./dev format` mends it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
find src test fuzz bench \( -name '*.cpp' -o -name '*.h' \) -print0 2> /dev/null |
  xargs -0 -r clang-format-14 --dry-run -Werror 2>&1 |
  awk -F: '/error:/ && !seen[$1]++ { print $1 ":" $2 ": not formatted" } /error:/ { bad = 1 } END { exit bad }'
