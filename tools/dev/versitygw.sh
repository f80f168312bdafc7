#!/usr/bin/env bash
# Prints the path of versitygw, the S3 server of the tests, at the pinned version: built by Go into the cache folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tools/dev/lib.sh
source tools/dev/lib.sh

go_program versitygw 1.8.0 github.com/versity/versitygw/cmd/versitygw versitygw
