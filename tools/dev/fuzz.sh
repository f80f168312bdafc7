#!/usr/bin/env bash
# fuzz.sh SECONDS [NAME...]: each fuzzer for so long, one a core. New inputs go to the cache folder, crashes to
# build/test-logs/fuzz. Prints "ok NAME" or "not ok NAME" a fuzzer; exit status 1 if one failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tools/dev/lib.sh
source tools/dev/lib.sh

seconds=$1
shift
if [ "${1:-}" = --one ]; then
  name=$2
  logs=build/test-logs/fuzz
  mkdir -p "$logs" "$cache/fuzz/$name"
  corpora=("$cache/fuzz/$name")
  if [ -d "fuzz/corpus/$name" ]; then corpora+=("fuzz/corpus/$name"); fi
  # The committed corpus comes on top of the time; a fuzzer that hangs is a failure too.
  if timeout $((seconds + 60)) "build/fuzz/fuzz/fuzz_$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
    -max_len=65536 -artifact_prefix="$logs/$name-" "${corpora[@]}" > "$logs/$name.log" 2>&1; then
    echo "ok $name"
  else
    echo "not ok $name: $logs/$name.log"
    tail -n 20 "$logs/$name.log" >&2
    exit 1
  fi
  exit 0
fi

if ! ls fuzz/*.cpp > /dev/null 2>&1; then
  echo "skip: fuzz/ has no fuzzers yet"
  exit 0
fi
configure fuzz
build_targets fuzz >&2
if [ $# = 0 ]; then
  for source in fuzz/*.cpp; do set -- "$@" "$(basename "$source" .cpp)"; done
fi
printf '%s\n' "$@" | xargs -P "$(nproc)" -I NAME "$0" "$seconds" --one NAME || exit 1
