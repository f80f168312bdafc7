#!/usr/bin/env bash
# Line coverage of whatever reads bytes of a peer or of the disk, by the unit tests and the committed corpora of the
# fuzzers. Prints a table; exit status 1 when a file has less than 90 %.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tools/dev/lib.sh
source tools/dev/lib.sh

least=90
# Patterns below src/. A new parser belongs here.
parsers=(
  base/bytes base/clock base/text
  media/aac media/depacketize_aac media/depacketize_h264 media/depacketize_simple media/depacketizer
  media/h264 media/h264_dts media/h264_packets media/mp4_file media/mp4_scan media/mpegts_scan media/opus
  media/reorder_buffer media/rtcp media/rtp media/sdp
  net/conditional net/http net/http_connection net/http_server net/http_target
  net/http_client net/origin
  s3/bucket s3/client s3/credentials s3/failure s3/request s3/signature_v4 s3/xml
  store/catalog store/directory_store store/object_name
  ingest/demo/demo_options
  ingest/rtsp/auth ingest/rtsp/headers ingest/rtsp/message ingest/rtsp/session
  ingest/rtsp/track_receiver ingest/rtsp/url
  stream/clock_model
  record/export record/gap_log record/recording_index record/recovery record/repair record/verify
  upload/upload_log upload/uploader
  webrtc/ice_agent webrtc/ice_candidate webrtc/ice_check_list webrtc/ice_credentials webrtc/stun webrtc/stun_client
  webrtc/dtls webrtc/fingerprint webrtc/srtcp_receiver
  webrtc/sdp_answer webrtc/sdp_lines webrtc/sdp_offer webrtc/trickle_fragment webrtc/turn_credentials
  api/whep
  api/auth/auth api/auth/passwords api/auth/rights api/auth/session_routes api/auth/tokens api/auth/users
  api/events api/forwarded api/playback api/router api/timeline
  app/config app/config_reader app/config_sample app/config_values app/cli
)

need_packages run test fuzz coverage
configure coverage
build_targets coverage >&2
build=build/coverage
rm -rf "$build/profiles"
mkdir -p "$build/profiles"

# NAME COMMAND...: its counters go to a file of its own.
run() {
  local name=$1
  shift
  LLVM_PROFILE_FILE=$PWD/$build/profiles/$name-%p.profraw "$@" > "$build/profiles/$name.log" 2>&1 && return
  echo "failed: $name ($build/profiles/$name.log)" >&2
  tail -n 20 "$build/profiles/$name.log" >&2
  return 1
}

status=0
programs=()
say "running the unit tests"
for program in "$build"/test/test_*; do
  if [ ! -f "$program" ] || [ ! -x "$program" ]; then continue; fi
  programs+=("$program")
  run "$(basename "$program")" "$program" --gtest_brief=1 || status=1
done
say "replaying the corpora"
for corpus in fuzz/corpus/*/; do
  name=fuzz_$(basename "$corpus")
  programs+=("$build/fuzz/$name")
  run "$name" "$build/fuzz/$name" -runs=0 "$corpus" || status=1
done
llvm-profdata-14 merge -sparse -o "$build/profiles/all.profdata" "$build"/profiles/*.profraw
objects=()
for program in "${programs[@]:1}"; do objects+=(-object "${program#"$build/"}"); done
# The compiler was told paths relative to the build folder.
(cd "$build" && llvm-cov-14 export -format=lcov -instr-profile=profiles/all.profdata "${programs[0]#"$build/"}" \
  "${objects[@]}") > "$build/profiles/all.info"
python3 tools/dev/coverage_table.py "$build/profiles/all.info" $least "${parsers[@]}" || status=1
exit $status
