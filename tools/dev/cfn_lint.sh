#!/usr/bin/env bash
# Prints the path of cfn-lint, which checks the CloudFormation template, at the pinned version: in a virtual environment of its
# own in the cache folder, because few tests need its many packages.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tools/dev/lib.sh
source tools/dev/lib.sh

version=1.58.0
folder=$cache/cfn-lint-$version
if [ ! -e "$folder/complete" ]; then
  say "fetching cfn-lint $version"
  /usr/bin/python3 -m venv --clear "$folder" >&2
  "$folder/bin/pip" install -q --disable-pip-version-check "cfn-lint==$version" >&2
  touch "$folder/complete"
fi
printf '%s\n' "$folder/bin/cfn-lint"
