#!/usr/bin/env bash
# Prints the path of toxiproxy-server, which stands between recorder and store in `./dev test --interop`, at the pinned
# version: built by Go into the cache folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tools/dev/lib.sh
source tools/dev/lib.sh

version=2.5.0
go_program toxiproxy $version github.com/Shopify/toxiproxy/v2/cmd/server toxiproxy-server \
  "-X github.com/Shopify/toxiproxy/v2.Version=$version"
