#!/usr/bin/env bash
# ./dev test: every kind of test, a summary line a kind, and "N passed, N failed" alone on the last line. Logs: build/test-logs.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit
# shellcheck source=tools/dev/lib.sh
source tools/dev/lib.sh

kinds="check unit fuzz web integration browser"
only=
interop=0
while [ $# -gt 0 ]; do
  case "$1" in
    --only)
      only=${2:-}
      [[ " $kinds " == *" ${only:-none} "* ]] || { echo "--only takes one of: $kinds" >&2; exit 2; }
      shift
      ;;
    --interop) interop=1 ;;
    *)
      echo "./dev test has no argument \"$1\"" >&2
      exit 2
      ;;
  esac
  shift
done

groups=(run test fuzz)
[ $interop = 0 ] || groups+=(tidy)
need_packages "${groups[@]}" || exit 3
logs=build/test-logs
mkdir -p "$logs"

# Each kind writes its report, for counts.py, to $report (and further ones to $report.*), and its exit status says whether
# all went well. To have nothing to run, it says why with `skip`.
report=
skip() {
  echo "skipped: $*"
  echo "skip" > "$report"
}

kind_check() {
  local arguments=()
  [ $interop = 0 ] || arguments+=(--tidy)
  tools/dev/check.sh "${arguments[@]}" 2>&1 | tee "$report"
  return "${PIPESTATUS[0]}"
}

kind_unit() {
  if ! ls test/*/*_test.cpp > /dev/null 2>&1; then
    skip "test/ has no unit tests yet"
    return
  fi
  configure asan && build_targets asan &&
    ctest --test-dir build/asan -L unit --output-on-failure -j "$(nproc)" --output-junit "$PWD/$report"
}

kind_fuzz() {
  tools/dev/fuzz.sh 5 | tee "$report"
  return "${PIPESTATUS[0]}"
}

kind_web() {
  if [ ! -f web/package-lock.json ]; then
    skip "web/ is not there yet"
    return
  fi
  web_packages && (cd web && npx vitest run --reporter=default --reporter=junit --outputFile.junit="../$report")
}

# The kinds that start the whole program take the one that users get.
program() {
  build_web && configure release -DMIHARU_TESTS=OFF && build_targets release || return 1
  tools/dev/lambda.sh || return 1
  export MIHARU_BIN=$PWD/build/release/miharu MIHARU_BOOTSTRAP=$PWD/build/lambda/bootstrap
}

kind_integration() {
  if ! find test/integration -name 'test_*.py' 2> /dev/null | grep -q .; then
    skip "test/integration has no tests yet"
    return
  fi
  local python store others
  program && build_targets release record_torture && web_packages && python=$(python_for_tests) || return 1
  export MIHARU_TORTURE=$PWD/build/release/test/tools/record_torture MIHARU_INTEROP=$interop
  # Two at a time, for they wait more than they work: those with a bucket, and all others. What takes the whole machine,
  # some 200 cameras at once or 64 with a bucket, comes last and alone.
  local heavy=(test/integration/test_upload_faults.py test/integration/test_camera_scenarios.py) status=0
  mapfile -t store < <(compgen -G "test/integration/test_*.py" | grep -E "/test_(bucket|cloud|deploy|interop|lambda|serve|upload)" | grep -vxFf <(printf '%s\n' "${heavy[@]}") | sort)
  mapfile -t others < <(compgen -G "test/integration/test_*.py" | grep -vxFf <(printf '%s\n' "${store[@]}" "${heavy[@]}") | sort)
  "$python" -m pytest "${store[@]}" -q -rs --junitxml="$report.store" > "$logs/integration.store.log" 2>&1 &
  local store_tests=$!
  "$python" -m pytest "${others[@]}" -q -rs --junitxml="$report" || status=1
  wait $store_tests || status=1
  cat "$logs/integration.store.log"
  "$python" -m pytest "${heavy[@]}" -q -rs --junitxml="$report.heavy" || status=1
  return $status
}

kind_browser() {
  local files
  mapfile -t files < <(find test/browser -name '*.test.*js' 2> /dev/null | sort)
  if [ ${#files[@]} = 0 ]; then
    skip "test/browser has no tests yet"
    return
  fi
  local python
  program && web_packages && build_targets release make_recording && python=$(python_for_tests) || return 1
  MIHARU_PYTHON=$python MIHARU_MAKE_RECORDING=$PWD/build/release/test/tools/make_recording MIHARU_SCREENSHOTS=$PWD/$logs \
    timeout 1200 node --test --test-reporter=tap --test-concurrency=1 "${files[@]}" | tee "$report"
  return "${PIPESTATUS[0]}"
}

passed=0 failed=0 skipped=0 summary=() broken=()
for kind in $kinds; do
  [ -z "$only" ] || [ "$only" = "$kind" ] || continue
  say "$kind tests (log: $logs/$kind.log)"
  report=$logs/$kind.report
  rm -f "$report"*
  began=$SECONDS
  # To a file rather than through tee: a server that a test left behind must not hold this script up.
  if "kind_$kind" > "$logs/$kind.log" 2>&1; then status=0; else status=1; fi
  read -r p f s < <(python3 tools/dev/counts.py "$report"*)
  # A kind that broke before its report, or beside it, is a failure even if no test says so.
  if [ $status != 0 ] && [ "$f" = 0 ]; then f=1; fi
  if [ $status = 0 ] && [ $((p + s)) = 0 ]; then f=1; echo "no test ran" >> "$logs/$kind.log"; fi
  if [ "$f" != 0 ]; then
    tail -n 30 "$logs/$kind.log" >&2
    failures=$(python3 tools/dev/counts.py --failures "$report"*)
    printf '%s\n' "$failures" >&2
    mapfile -t -O ${#broken[@]} broken < <(grep '^FAILED ' <<< "$failures")
  fi
  line="$kind: $p passed, $f failed"
  [ "$s" = 0 ] || line+=", $s skipped"
  line+=" ($((SECONDS - began)) s)"
  if reason=$(grep -m1 '^skipped: ' "$logs/$kind.log"); then line+=" - $reason"; fi
  summary+=("$line")
  echo "$line" >&2
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
done

printf '%s\n' "" "${summary[@]}" "${broken[@]}" ""
line="$passed passed, $failed failed"
[ $skipped = 0 ] || line+=", $skipped skipped"
echo "$line"
[ $failed = 0 ]
