#!/usr/bin/env python3
"""Viewers of one camera over WebRTC: CPU of miharu a packet, beside the floor of the same minute, memory a viewer, start, gaps.

    bench/live.py --miharu build/release/miharu --programs build/bench/bench [--viewers 100] [--seconds 15] [--runs 3] [--burst 200] [--veth]

Viewers and camera are pinned to the second core and miharu to the first. What recording costs is measured before the viewers come
and taken off; the figure with it is shown too. Viewers come within two groups of pictures (8 s), and what is measured begins 5 s
after the last of them has its key frame. The floor (live_floor) is AES-GCM and sends with UDP_SEGMENT flat out, to as many
sockets, in this camera's mix of frames and lone packets of sound; its sender never sleeps, and ours does.

With --veth the viewers are in a network namespace, behind a pair of virtual Ethernet devices. The floor stays that of loopback.

With --burst, so many more come within one second while the others watch. What they cost is the CPU from the first offer until a second
after the last of them has its key frame, less what the camera and the others took before, and less what these viewers' watching takes
from their key frames on (as much as the others'): offer, handshake and the cached group of pictures remain. How much of the group there
is depends on the moment: 4 s of 4 Mbit/s are 2000 packets, so that packets from the cache are told beside it. There is no floor then.
"""
import argparse
import contextlib
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


def cost_of_starts(alone, steady_rate, used, taken, viewers, burst):
    """Milliseconds of CPU each; rates are shares of a core."""
    watching = (steady_rate - alone) / viewers
    return 1000 * (used - steady_rate * taken - watching * burst["watched_seconds"]) / burst["viewers"]


def run(miharu, programs, viewers, seconds, check=64, burst=0, veth=False):
    with measure.work_folder() as folder, (measure.Network() if veth else contextlib.nullcontext()) as network:
        source = measure.Cameras(programs / "rtsp_cameras", "opus-4m")
        server = measure.Miharu(miharu, folder, cameras=[("cam", f"rtsp://127.0.0.1:{source.port}/0")],
                                address=network.address if veth else "127.0.0.1")
        clients = None
        try:
            if not wait_for_live(server, "cam"):
                raise RuntimeError("the camera does not come")
            time.sleep(5)
            memory_alone = measure.memory_mb(server.pid)
            alone = cpu_percent(server.pid, seconds)
            command = measure.on_core(measure.CLIENT_CORE, [programs / "live_viewers", f"{server.url}/whep/cam", viewers, RAMP_SECONDS,
                                                            seconds, "--check", check, *(["--burst", burst] if burst else [])])
            clients = subprocess.Popen(network.there(command) if veth else command, stdout=subprocess.PIPE, text=True)

            def used_until(word):
                before, began = measure.cpu_seconds(server.pid), time.monotonic()
                expect(clients, word)
                return measure.cpu_seconds(server.pid) - before, time.monotonic() - began
            expect(clients, "steady")
            used, taken = used_until("burst" if burst else "end")
            waited = [measure.waited_seconds(each) for each in (server.pid, clients.pid, source.process.pid)]
            burst_used, burst_taken = used_until("end") if burst else (0, 0)
            waited = [measure.waited_seconds(each) - before for each, before in
                      zip((server.pid, clients.pid, source.process.pid), waited)]
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
    if burst:
        problems += [f"{count} of the burst: {what}" for what, count in seen["burst"]["failed"].items()]
        seen["burst"]["cpu_seconds"] = burst_used
        live = seen["packets"] / seen["seconds"] / viewers * seen["burst"]["watched_seconds"]
        seen["burst"]["cached_packets_a_start"] = (seen["burst"]["packets"] - live) / burst
        seen["burst"]["waited_for_a_processor"] = dict(zip(("miharu", "viewers", "camera"), waited))
        seen["burst"]["ms_a_start"] = cost_of_starts(alone / 100, used / taken, burst_used, burst_taken, viewers, seen["burst"])
    result = {"cpu_percent": 100 * used / taken, "cpu_percent_recording": alone, "problems": problems,
              "rss_mb": memory["rss"], "rss_kb_a_viewer": 1024 * (memory["rss"] - memory_alone["rss"]) / (viewers + burst)}
    if seen["packets"] and seen["frames"]:
        # Of the same window: packets a second as the viewers saw it, CPU as /proc did.
        rate = seen["packets"] / seen["seconds"]
        result["us_a_packet"] = 1e6 * (used / taken - alone / 100) / rate
        result["us_a_packet_with_recording"] = 1e6 * used / taken / rate
        if not burst:
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
    parser.add_argument("--burst", type=int, default=0, help="so many more within one second")
    parser.add_argument("--veth", action="store_true", help="over virtual Ethernet, not loopback; as root")
    parser.add_argument("--check", type=int, default=64, help="one packet in so many is decrypted and verified")
    arguments = parser.parse_args()
    results = []
    for _ in range(arguments.runs):
        results.append(run(arguments.miharu, arguments.programs, arguments.viewers, arguments.seconds, arguments.check, arguments.burst,
                           arguments.veth))
        print(json.dumps(results[-1]), flush=True)
    measured = [result for result in results if "us_a_packet" in result]
    if measured and arguments.burst:
        print(json.dumps({f"median_{name}": statistics.median(result["burst"][name] for result in measured)
                          for name in ("ms_a_start", "cached_packets_a_start", "others_longest_gap_ms")} | {"load": os.getloadavg()[0]}))
    elif measured:
        print(json.dumps({f"median_{name}": statistics.median(result[name] for result in measured)
                          for name in ("us_a_packet", "us_a_packet_with_recording", "of_the_floor", "rss_kb_a_viewer")} | {"load": os.getloadavg()[0]}))
    return 1 if len(measured) < len(results) or any(result["problems"] for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
