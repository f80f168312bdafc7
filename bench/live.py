#!/usr/bin/env python3
"""Viewers of one camera over WebRTC: CPU of miharu a packet, beside the floor of the same minute, memory a viewer, start, gaps.

    bench/live.py --miharu build/release/miharu --programs build/bench/bench [--viewers 100] [--seconds 15] [--runs 3]

Viewers and camera are pinned to the second core and miharu to the first. What recording costs is measured before the viewers come
and taken off; the figure with it is shown too. Viewers come within two groups of pictures (8 s), and what is measured begins 5 s
after the last of them has its key frame. The floor (live_floor) is AES-GCM and sends with UDP_SEGMENT flat out, to as many
sockets, in this camera's mix of frames and lone packets of sound; its sender never sleeps, and ours does.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import measure
from llhls import cpu_percent, wait_for_live

RAMP_SECONDS = 8
FLOOR_SECONDS = 5


def expect(process, word):
    line = process.stdout.readline().strip()
    if line != word:
        raise RuntimeError(f"the viewers said {line!r} and not {word!r}")


def floor(program, viewers, seen):
    """In this camera's mix: three frames, and the packets of sound that come with them."""
    frames = seen["frames"]
    burst, lone = round(seen["video_packets"] / frames), round(3 * (seen["packets"] - seen["video_packets"]) / frames)
    done = subprocess.run([program, *map(str, (viewers, FLOOR_SECONDS, burst, 3, lone))], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def run(miharu, programs, viewers, seconds, check=64):
    with measure.work_folder() as folder:
        source = measure.Cameras(programs / "rtsp_cameras", "opus-4m")
        server = measure.Miharu(miharu, folder, cameras=[("cam", f"rtsp://127.0.0.1:{source.port}/0")])
        clients = None
        try:
            if not wait_for_live(server, "cam"):
                raise RuntimeError("the camera does not come")
            time.sleep(5)
            memory_alone = measure.memory_mb(server.pid)
            alone = cpu_percent(server.pid, seconds)
            clients = subprocess.Popen(
                measure.on_core(measure.CLIENT_CORE, [programs / "live_viewers", f"http://127.0.0.1:{server.port}/whep/cam", viewers,
                                                      RAMP_SECONDS, seconds, "--check", check]), stdout=subprocess.PIPE, text=True)
            expect(clients, "steady")
            before, began = measure.cpu_seconds(server.pid), time.monotonic()
            expect(clients, "end")
            used, taken = measure.cpu_seconds(server.pid) - before, time.monotonic() - began
            memory = measure.memory_mb(server.pid)
            seen = json.loads(clients.stdout.readline())
        finally:
            if clients:
                if clients.poll() is None:
                    clients.terminate()
                clients.wait(20)
            server.stop()
            source.stop()
    problems = [f"{count} viewers: {what}" for what, count in seen["failed"].items()]
    if seen["not_authentic_in_all"]:
        problems.append(f"{seen['not_authentic_in_all']} packets that libsrtp2 refuses")
    for what in ("lost", "duplicate"):
        if seen[what]:
            problems.append(f"{seen[what]} packets {what}")
    result = {"cpu_percent": 100 * used / taken, "cpu_percent_recording": alone, "problems": problems,
              "rss_mb": memory["rss"], "rss_kb_a_viewer": 1024 * (memory["rss"] - memory_alone["rss"]) / viewers}
    if seen["packets"] and seen["frames"]:
        # Of the same window: packets a second as the viewers saw it, CPU as /proc did.
        rate = seen["packets"] / seen["seconds"]
        result["us_a_packet"] = 1e6 * (used / taken - alone / 100) / rate
        result["us_a_packet_with_recording"] = 1e6 * used / taken / rate
        result["floor"] = floor(programs / "live_floor", viewers, seen)
        result["of_the_floor"] = 1000 * result["us_a_packet"] / result["floor"]["ns_a_packet"]
    return {**result, **seen}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--miharu", required=True, type=pathlib.Path)
    parser.add_argument("--programs", required=True, type=pathlib.Path)
    parser.add_argument("--viewers", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=15)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--check", type=int, default=64, help="one packet in so many is decrypted and verified")
    arguments = parser.parse_args()
    results = []
    for _ in range(arguments.runs):
        results.append(run(arguments.miharu, arguments.programs, arguments.viewers, arguments.seconds, arguments.check))
        print(json.dumps(results[-1]), flush=True)
    measured = [result for result in results if "us_a_packet" in result]
    if measured:
        print(json.dumps({f"median_{name}": statistics.median(result[name] for result in measured)
                          for name in ("us_a_packet", "us_a_packet_with_recording", "of_the_floor", "rss_kb_a_viewer")} | {"load": os.getloadavg()[0]}))
    return 1 if len(measured) < len(results) or any(result["problems"] for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
