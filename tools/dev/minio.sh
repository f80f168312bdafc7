#!/usr/bin/env bash
# Prints the path of minio, a second S3 server for `./dev test --interop`, at the pinned version: built by Go into the
# cache folder. Its releases are no versions of its module: this is the last commit of it, which the module proxy has.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tools/dev/lib.sh
source tools/dev/lib.sh

go_program minio 0.0.0-20260212201848-7aac2a2c5b7c github.com/minio/minio minio
