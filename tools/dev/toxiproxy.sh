#!/usr/bin/env bash
# Prints the path of toxiproxy-server, which stands between recorder and store in `./dev test --interop`, at the pinned
# version: built by Go into the cache folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tools/dev/lib.sh
source tools/dev/lib.sh

version=2.5.0
folder=$cache/toxiproxy-$version
if [ ! -x "$folder/toxiproxy-server" ]; then
  go=$(tools/dev/go.sh)
  say "building toxiproxy $version"
  mkdir -p "$cache"
  # Beside its place and renamed: one that was interrupted does not count.
  new=$(mktemp -d "$cache/toxiproxy.XXXXXX")
  GOBIN=$new GOFLAGS=-p=1 "$go" install -ldflags="-s -w -X github.com/Shopify/toxiproxy/v2.Version=$version" \
    "github.com/Shopify/toxiproxy/v2/cmd/server@v$version" >&2
  mkdir -p "$folder"
  mv "$new/server" "$folder/toxiproxy-server"
  rmdir "$new"
fi
printf '%s\n' "$folder/toxiproxy-server"
