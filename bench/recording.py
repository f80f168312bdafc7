#!/usr/bin/env python3
"""Pull and record many cameras: CPU, system calls and memory of miharu, and whether a frame is missing.

    bench/recording.py --miharu build/release/miharu --cameras-program build/bench/bench/rtsp_cameras [--clip opus-4m]
                       [--cameras 10] [--seconds 60] [--runs 3] [--together] [--calls]

The cameras are pinned to the second core and miharu to the first. CPU is user + system of the process; beside it that of the
kernel's threads that write pages back. System calls are counted by strace in a window of their own, after the CPU was
measured, because tracing costs. Frames of pictures and of sound are checked by their content: each must follow the one before
it in the clip.
"""
import argparse
import collections
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

import measure


def packet_hashes(item):
    """By track: hashes of the frames in their order."""
    out = subprocess.run(["ffprobe", "-v", "error", "-show_data_hash", "crc32", "-show_entries", "packet=codec_type,data_hash", "-of", "csv=p=0", item],
                         capture_output=True, text=True, check=True).stdout
    tracks = collections.defaultdict(list)
    for kind, value in re.findall(r"(video|audio).*?(CRC32:\w+)", out, re.DOTALL):
        tracks[kind].append(value)
    return tracks


def missing_frames(store, clip):
    """Frames in all, and the places where a frame of the endless clip does not follow the one before it. By content and not by
    time: a camera on a busy machine sends late, and that is not a frame missing. What is not in the clip is silence of miharu's
    own, which belongs at the start and the end of a run only."""
    index = {kind: {value: i for i, value in enumerate(values)} for kind, values in packet_hashes(clip).items()}
    frames, holes = collections.Counter(), []
    for camera in sorted((store / "rec").iterdir()):
        expected, strange = {}, collections.Counter()
        for item in sorted(camera.rglob("*.mp4")):
            for kind, values in packet_hashes(item).items():
                for value in values:
                    found = index[kind].get(value)
                    if found is None:
                        strange[kind] += 1
                        continue
                    if kind in expected and (found != expected[kind] or strange[kind]):
                        holes.append(f"{camera.name}: {kind} frame {found} of the clip follows {expected[kind] - 1}, {strange[kind]} strange ones between, in {item.name[:20]}")
                    expected[kind] = (found + 1) % len(index[kind])
                    strange[kind] = 0
                    frames[kind] += 1
        if set(expected) != set(index):
            holes.append(f"{camera.name}: recorded are {sorted(expected)}")
    return frames, holes


def run(miharu, program, clip, cameras, seconds, together=False, calls=True, use_store=None):
    """`use_store` is called with the store of the recording before that is deleted."""
    with measure.work_folder() as folder:
        source = measure.Cameras(program, clip, together)
        server = measure.Miharu(miharu, folder, cameras=[(f"cam{i}", f"rtsp://127.0.0.1:{source.port}/{i}") for i in range(cameras)])
        try:
            time.sleep(16)  # the cameras' start, spread over 4 s, the hold of 2 s, and two groups of pictures
            before, kernel, began = measure.cpu_seconds(server.pid), measure.kernel_write_back(), time.monotonic()
            time.sleep(seconds)
            elapsed = time.monotonic() - began
            cpu = (measure.cpu_seconds(server.pid) - before) / elapsed
            kernel = measure.kernel_write_back_since(kernel) / elapsed
            memory = measure.memory_mb(server.pid)
            counted = measure.system_calls(server.pid) if calls else {}
        finally:
            server.stop()
            sent = source.stop()
        frames, holes = missing_frames(server.store, measure.clip(clip))
        if sent["frames_not_sent"]:
            holes.append(f"the cameras could not send {sent['frames_not_sent']} frames")
        if sent["connections"] != cameras:
            holes.append(f"{sent['connections']} connections for {cameras} cameras")
        if use_store:
            use_store(server.store)
    per_camera = {name: round(count / cameras, 1) for name, count in sorted(counted.items(), key=lambda item: -item[1]) if count / cameras >= 0.1}
    return {"cpu_percent": 100 * cpu, "cpu_percent_a_camera": 100 * cpu / cameras, "write_back_percent_a_camera": 100 * kernel / cameras,
            "system_calls_a_camera_a_second": sum(counted.values()) / cameras if counted else None, "calls": per_camera,
            "rss_mb": memory["rss"], "rss_peak_mb": memory["peak"], "frames": dict(frames), "frames_sent": sent["frames"], "holes": holes}


def median(results):
    keys = ("cpu_percent", "cpu_percent_a_camera", "write_back_percent_a_camera", "system_calls_a_camera_a_second", "rss_mb", "rss_peak_mb")
    return {key: statistics.median(result[key] for result in results) for key in keys if results[0][key] is not None}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--miharu", required=True, type=pathlib.Path)
    parser.add_argument("--cameras-program", required=True, type=pathlib.Path)
    parser.add_argument("--clip", default="opus-4m", choices=measure.CLIPS)
    parser.add_argument("--cameras", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--together", action="store_true", help="all cameras at the same place of the clip")
    parser.add_argument("--no-calls", action="store_true")
    arguments = parser.parse_args()
    results = []
    for number in range(arguments.runs):
        results.append(run(arguments.miharu, arguments.cameras_program, arguments.clip, arguments.cameras, arguments.seconds,
                           arguments.together, not arguments.no_calls))
        print(json.dumps(results[-1]), flush=True)
        if results[-1]["holes"]:
            print(f"run {number}: frames are missing", file=sys.stderr)
    print(json.dumps({"median": median(results), "cameras": arguments.cameras, "seconds": arguments.seconds, "load": os.getloadavg()[0]}))
    return 1 if any(result["holes"] for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
