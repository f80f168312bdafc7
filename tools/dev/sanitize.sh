#!/usr/bin/env bash
# Unit tests under both sanitizers that cannot be in one program.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tools/dev/lib.sh
source tools/dev/lib.sh

need_packages run test
for preset in asan tsan; do
  configure "$preset"
  build_targets "$preset"
  # ThreadSanitizer of g++ 12 cannot live with the address randomisation of newer kernels.
  setarch -R ctest --test-dir "build/$preset" -L unit --output-on-failure -j "$(nproc)"
done
