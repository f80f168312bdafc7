#!/usr/bin/env bash
# ./dev lambda: build/lambda/bootstrap, the program of the Lambda function, and build/lambda/miharu-lambda.zip, what is
# uploaded. Says how large they are; a bootstrap of more than 7 MB is an error.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tools/dev/lib.sh
source tools/dev/lib.sh

most_bytes=7000000

configure lambda
build_targets lambda bootstrap
program=build/lambda/bootstrap
zip=build/lambda/miharu-lambda.zip
if readelf --program-headers "$program" | grep -q INTERP; then stop "$program is not static: it would not start at AWS"; fi
# Times fixed, so that the same program is the same archive.
python3 - "$program" "$zip" << 'END'
import sys
import zipfile
program, archive = sys.argv[1:]
entry = zipfile.ZipInfo("bootstrap", (2026, 1, 1, 0, 0, 0))
entry.external_attr = 0o100755 << 16
entry.compress_type = zipfile.ZIP_DEFLATED
entry.create_system = 3
with zipfile.ZipFile(archive, "w", compresslevel=9) as out, open(program, "rb") as file:
    out.writestr(entry, file.read(), compresslevel=9)
END
bytes=$(stat -c %s "$program")
say "$program: $bytes bytes; $zip: $(stat -c %s "$zip") bytes"
[ "$bytes" -le $most_bytes ] || stop "bootstrap is larger than $most_bytes bytes"
