#!/usr/bin/env python3
"""Pull and record many cameras: CPU, system calls and memory of miharu, and whether a frame is missing.

    bench/recording.py --miharu build/release/miharu --rtspcam PATH --clip cam.h264 [--cameras 10] [--seconds 60] [--runs 3]

rtspcam is any server that plays the clip as an endless RTSP camera with `-listen ADDR:PORT FILE`. It is pinned to the second
core and miharu to the first. CPU is user + system of the process from /proc; system calls are counted by strace in a window
of their own, after the CPU was measured, because tracing costs. Frames are checked by ffprobe: decode times without a step.
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
    total = re.search(r"^100\.00.*?(\d+)\s+\d*\s*total$", done.stderr, re.M)
    calls = sum(int(match[1]) for match in re.finditer(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s", done.stderr, re.M)
                if "total" not in match[0]) if not total else int(total[1])
    return calls / STRACE_SECONDS


def missing_frames(store):
    """Frames in all, and steps in decode time that are not one frame long within a camera."""
    frames, holes = 0, []
    for camera in sorted((store / "rec").iterdir()):
        times = []
        for item in sorted(camera.rglob("*.mp4")):
            out = subprocess.run(["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "packet=dts_time", "-of", "csv=p=0", item],
                                 capture_output=True, text=True, check=True).stdout
            times += [float(line.strip(",")) for line in out.split()]
        frames += len(times)
        for before, after in zip(times, times[1:]):
            if abs(after - before - 1 / FPS) > 0.25 / FPS:
                holes.append(f"{camera.name}: {after - before:.3f} s at {before:.3f}")
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
    frames, holes = missing_frames(pathlib.Path(directory) / "store")
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
