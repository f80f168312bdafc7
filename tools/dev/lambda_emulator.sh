#!/usr/bin/env bash
# Prints the path of aws-lambda-rie, AWS's emulator of the Lambda runtime API, at the pinned version: taken out of the
# wheel of aws-sam-cli into the cache folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tools/dev/lib.sh
source tools/dev/lib.sh

version=1.170.0
folder=$cache/lambda-emulator-$version
if [ ! -x "$folder/aws-lambda-rie" ]; then
  say "fetching the Lambda emulator of aws-sam-cli $version"
  mkdir -p "$cache"
  # Beside its place and renamed: one that was interrupted does not count.
  new=$(mktemp -d "$cache/lambda-emulator.XXXXXX")
  python=$(python_for_tests)
  "$python" -m pip download -q --disable-pip-version-check --no-deps --dest "$new" "aws-sam-cli==$version" >&2
  /usr/bin/python3 -m zipfile -e "$new"/*.whl "$new/wheel"
  install -m 755 "$new/wheel/samcli/local/rapid/aws-lambda-rie-x86_64" "$new/aws-lambda-rie"
  mkdir -p "$folder"
  mv "$new/aws-lambda-rie" "$folder/aws-lambda-rie"
  rm -r "$new"
fi
printf '%s\n' "$folder/aws-lambda-rie"
