#!/usr/bin/env python3
"""Pull and record many cameras: CPU, system calls and memory of miharu, and whether a frame is missing.

    bench/recording.py --miharu build/release/miharu --rtspcam PATH --clip cam.h264 [--cameras 10] [--seconds 60] [--runs 3]

rtspcam is any server that plays the clip as an endless RTSP camera with `-listen ADDR:PORT FILE`. It is pinned to the second
core and miharu to the first. CPU is user + system of the process from /proc; system calls are counted by strace in a window
of their own, after the CPU was measured, because tracing costs. Frames are checked by their content: each must
follow the one before it in the clip.
"""
import argparse
import json
import os
import pathlib
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

TICKS = os.sysconf("SC_CLK_TCK")
FPS = 30
STRACE_SECONDS = 10


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_kb(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return {key: int(re.search(rf"{key}:\s+(\d+)", status)[1]) for key in ("VmRSS", "VmHWM")}


def system_calls(pid):
    """System calls a second, or None where strace is missing."""
    try:
        done = subprocess.run(["timeout", "-s", "INT", str(STRACE_SECONDS), "strace", "-c", "-f", "-p", str(pid)],
                              capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    total = [line.split() for line in done.stderr.splitlines() if line.endswith("total")]
    calls = int(total[-1][3]) if total else 0
    return calls / STRACE_SECONDS


def packet_hashes(item):
    out = subprocess.run(["ffprobe", "-v", "error", "-select_streams", "v", "-show_data_hash", "crc32", "-show_entries", "packet=data_hash",
                          "-of", "csv=p=0", item], capture_output=True, text=True, check=True).stdout
    return [line.strip(",") for line in out.split()]


def missing_frames(store, clip):
    """Frames in all, and the places where a frame of the endless clip does not follow the one before it. By content and not by
    time: a camera on a busy machine sends late, and that is not a frame missing. Key frames are compared by place alone, since
    parameter sets before them are kept elsewhere in MP4."""
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder) / "clip.mp4"
        subprocess.run(["ffmpeg", "-v", "error", "-r", str(FPS), "-i", clip, "-c", "copy", copy], check=True)
        index = {value: i for i, value in enumerate(packet_hashes(copy))}
    length = len(index)
    frames, holes = 0, []
    for camera in sorted((store / "rec").iterdir()):
        expected = None
        for item in sorted(camera.rglob("*.mp4")):
            for value in packet_hashes(item):
                found = index.get(value)
                if found is not None and expected is not None and found != expected:
                    holes.append(f"{camera.name}: frame {found} of the clip follows {expected - 1} in {item.name[:20]}")
                if found is not None:
                    expected = found
                if expected is not None:
                    expected = (expected + 1) % length
                frames += 1
    return frames, holes


def run(arguments, directory):
    port = free_port()
    camera = subprocess.Popen(["taskset", "-c", "1", arguments.rtspcam, "-listen", f"127.0.0.1:{port}", arguments.clip])
    time.sleep(1)
    command = ["taskset", "-c", "0", arguments.miharu, "run", "--data", directory, "--listen", "127.0.0.1:0"]
    for i in range(arguments.cameras):
        command += ["--camera", f"cam{i}=rtsp://127.0.0.1:{port}/cam"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(12)  # the start, and two groups of pictures
        before, began = cpu_seconds(server.pid), time.monotonic()
        time.sleep(arguments.seconds)
        cpu = (cpu_seconds(server.pid) - before) / (time.monotonic() - began)
        memory = memory_kb(server.pid)
        calls = system_calls(server.pid)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)
        camera.terminate()
        camera.wait(10)
    frames, holes = missing_frames(pathlib.Path(directory) / "store", arguments.clip)
    return {"cpu_percent_a_camera": 100 * cpu / arguments.cameras,
            "system_calls_a_camera_a_second": None if calls is None else calls / arguments.cameras,
            "rss_mb": memory["VmRSS"] / 1024, "rss_peak_mb": memory["VmHWM"] / 1024, "frames": frames, "holes": holes}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--miharu", required=True)
    parser.add_argument("--rtspcam", required=True)
    parser.add_argument("--clip", required=True)
    parser.add_argument("--cameras", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    results = []
    for number in range(arguments.runs):
        with tempfile.TemporaryDirectory(prefix="miharu-bench-") as directory:
            results.append(run(arguments, directory))
        print(json.dumps(results[-1]), flush=True)
        if results[-1]["holes"]:
            print(f"run {number}: frames are missing", file=sys.stderr)
    median = {key: statistics.median(result[key] for result in results)
              for key in ("cpu_percent_a_camera", "rss_mb", "rss_peak_mb")}
    calls = [result["system_calls_a_camera_a_second"] for result in results if result["system_calls_a_camera_a_second"] is not None]
    if calls:
        median["system_calls_a_camera_a_second"] = statistics.median(calls)
    print(json.dumps({"median": median, "cameras": arguments.cameras, "seconds": arguments.seconds, "load": os.getloadavg()[0]}))
    return 1 if any(result["holes"] for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
