#!/usr/bin/env bash
# Prints the path of minio, a second S3 server for `./dev test --interop`, at the pinned version: built by Go into the
# cache folder. Its releases are no versions of its module: this is the last commit of it, which the module proxy has.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tools/dev/lib.sh
source tools/dev/lib.sh

version=0.0.0-20260212201848-7aac2a2c5b7c
folder=$cache/minio-$version
if [ ! -x "$folder/minio" ]; then
  go=$(tools/dev/go.sh)
  say "building minio $version (5 minutes)"
  mkdir -p "$cache"
  # Beside its place and renamed: one that was interrupted does not count.
  new=$(mktemp -d "$cache/minio.XXXXXX")
  GOBIN=$new GOFLAGS=-p=1 "$go" install -ldflags='-s -w' "github.com/minio/minio@v$version" >&2
  mkdir -p "$folder"
  mv "$new/minio" "$folder/minio"
  rmdir "$new"
fi
printf '%s\n' "$folder/minio"
