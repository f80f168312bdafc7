#!/usr/bin/env bash
# Prints the path of versitygw, the S3 server of the tests, at the pinned version: built by Go into the cache folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tools/dev/lib.sh
source tools/dev/lib.sh

version=1.8.0
folder=$cache/versitygw-$version
if [ ! -x "$folder/versitygw" ]; then
  go=$(tools/dev/go.sh)
  say "building versitygw $version (2 minutes)"
  mkdir -p "$cache"
  # Beside its place and renamed: one that was interrupted does not count.
  new=$(mktemp -d "$cache/versitygw.XXXXXX")
  GOBIN=$new GOFLAGS=-p=1 "$go" install -ldflags='-s -w' "github.com/versity/versitygw/cmd/versitygw@v$version" >&2
  mkdir -p "$folder"
  mv "$new/versitygw" "$folder/versitygw"
  rmdir "$new"
fi
printf '%s\n' "$folder/versitygw"
