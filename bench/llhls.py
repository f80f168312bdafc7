#!/usr/bin/env python3
"""Viewers of one camera over low-latency HLS: CPU of miharu a viewer, and whether each viewer had every part in order.

    bench/llhls.py --miharu build/release/miharu --programs build/bench/bench [--viewers 100] [--seconds 60] [--runs 3]

Viewers and camera are pinned to the second core and miharu to the first. What recording costs is measured before they come and
taken off. Viewers reload whole playlists by blocking requests and fetch each part as it is named, over kept connections.
"""
import argparse
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import time

import measure


def cpu_percent(pid, seconds):
    before, began = measure.cpu_seconds(pid), time.monotonic()
    time.sleep(seconds)
    return 100 * (measure.cpu_seconds(pid) - before) / (time.monotonic() - began)


def wait_for_live(server, camera):
    """A live playlist needs a finished chunk."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            _, body = server.get(f"/hls/{camera}/live.m3u8", **{"Accept-Encoding": "identity"})
            if b"#EXT-X-PART:" in body:
                return True
            if b"#EXTINF" in body:
                return False
        except OSError:
            pass
        time.sleep(0.5)
    return False


def run(miharu, programs, viewers, seconds):
    with measure.work_folder() as folder:
        source = measure.Cameras(programs / "rtsp_cameras", "opus-4m")
        server = measure.Miharu(miharu, folder, cameras=[("cam", f"rtsp://127.0.0.1:{source.port}/0")])
        clients = None
        try:
            if not wait_for_live(server, "cam"):
                return {"skipped": "this miharu has no low-latency playlist at live.m3u8"}
            time.sleep(5)
            alone = cpu_percent(server.pid, seconds / 2)
            clients = subprocess.Popen(measure.on_core(measure.CLIENT_CORE, [programs / "llhls_viewers", server.port, "cam", viewers]),
                                       stdout=subprocess.PIPE, text=True)
            if clients.stdout.readline().strip() != "ready":
                raise RuntimeError("the viewers did not start")
            time.sleep(5)
            client_before = measure.cpu_seconds(clients.pid)
            watched = cpu_percent(server.pid, seconds)
            client = 100 * (measure.cpu_seconds(clients.pid) - client_before) / seconds
            memory = measure.memory_mb(server.pid)
        finally:
            if clients:
                clients.send_signal(signal.SIGTERM)
                seen = json.loads(clients.communicate(timeout=20)[0].splitlines()[-1])
            server.stop()
            source.stop()
    problems = [f"{count} times: {what}" for what, count in seen["errors"].items()]
    # They end in the midst of a part: no viewer may be behind by more than the parts of two seconds.
    if seen["most_parts"] - seen["least_parts"] > 4:
        problems.append(f"one viewer has {seen['least_parts']} parts, another {seen['most_parts']}")
    return {"viewers": viewers, "cpu_percent_a_viewer": (watched - alone) / viewers, "cpu_percent_recording": alone, "cpu_percent_of_viewers_program": client,
            "rss_mb": memory["rss"], "problems": problems, **seen}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--miharu", required=True, type=pathlib.Path)
    parser.add_argument("--programs", required=True, type=pathlib.Path)
    parser.add_argument("--viewers", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    results = []
    for _ in range(arguments.runs):
        results.append(run(arguments.miharu, arguments.programs, arguments.viewers, arguments.seconds))
        print(json.dumps(results[-1]), flush=True)
        if "skipped" in results[-1]:
            return 1
    print(json.dumps({"median_cpu_percent_a_viewer": statistics.median(result["cpu_percent_a_viewer"] for result in results), "load": os.getloadavg()[0]}))
    return 1 if any(result["problems"] for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
