#!/usr/bin/env python3
"""Measures every row of the budget in docs/performance.md and prints "what | budget | measured". Some 22 minutes; the machine
should do nothing else.

    bench/budget.py --miharu build/release/miharu --programs build/bench/bench [--quick]

Clips, a store of names and recordings are made in the cache folder by itself. What cannot be measured is a row with its reason.
--quick takes one short run of each: for trying the script, not for figures.
"""
import argparse
import os
import pathlib
import statistics
import sys
import time

import live
import llhls
import measure
import recording
import serving


class Table:
    def __init__(self):
        self.rows = []
        self.wrong = []  # not slow: wrong

    def add(self, what, measured, budget=None, unit="", at_least=False, digits=2):
        mark = ""
        if budget is not None:
            mark = "" if (measured >= budget if at_least else measured <= budget) else "  MISSED"
        limit = "" if budget is None else f"{'>=' if at_least else '<='} {budget:g} {unit}"
        self.rows.append((what, limit, f"{measured:.{digits}f} {unit}{mark}"))
        print(f"   {what}: {measured:.{digits}f} {unit}{mark}", flush=True)

    def note(self, what, text):
        self.rows.append((what, "", text))
        print(f"   {what}: {text}", flush=True)

    def check(self, what, problems):
        self.note(what, "ok" if not problems else f"WRONG: {'; '.join(problems[:3])} ({len(problems)} in all)")
        self.wrong += problems

    def show(self):
        widths = [max(len(row[i]) for row in self.rows) for i in range(3)]
        print(f"\n| {'what':{widths[0]}} | {'budget':{widths[1]}} | {'measured':{widths[2]}} |")
        print("|" + "|".join("-" * (width + 2) for width in widths) + "|")
        for row in self.rows:
            print("| " + " | ".join(f"{cell:{width}}" for cell, width in zip(row, widths)) + " |")


def measured_recording(table, arguments):
    program = arguments.programs / "rtsp_cameras"
    seconds, runs = (10, 1) if arguments.quick else (60, 3)
    stored = []

    def keep(store):
        if not stored:
            stored.append(True)
            measured_media(table, arguments, store)

    results = [recording.run(arguments.miharu, program, "opus-4m", 10, seconds, use_store=keep) for _ in range(runs)]
    median = recording.median(results)
    table.add("10 cameras of 4.1 Mbit/s with Opus: CPU a camera", median["cpu_percent_a_camera"], 0.12, "% of a core", digits=3)
    table.add("   the kernel's write-back beside it", median["write_back_percent_a_camera"], None, "% of a core", digits=3)
    table.add("   system calls a camera a second", median["system_calls_a_camera_a_second"], 100, "", digits=0)
    table.add("   RSS", median["rss_mb"], 45, "MB", digits=0)
    table.add("   RSS, peak", median["rss_peak_mb"], 45, "MB", digits=0)
    frames = sum(sum(result["frames"].values()) for result in results)
    table.check(f"   frames in their order, {frames} of picture and sound", [hole for result in results for hole in result["holes"]])
    for name, clip, together in (("AAC", "aac-4m", False), ("no sound", "silent-4m", False), ("no sound, all cameras in step", "silent-4m", True)):
        result = recording.run(arguments.miharu, program, clip, 10, seconds / 2, together)
        table.add(f"10 cameras, {name}: CPU a camera", result["cpu_percent_a_camera"], None, "% of a core", digits=3)
        table.add("   system calls a camera a second", result["system_calls_a_camera_a_second"], None, "", digits=0)
        table.check("   frames", result["holes"])


def measured_many(table, arguments):
    result = recording.run(arguments.miharu, arguments.programs / "rtsp_cameras", "opus-2m", 64, 10 if arguments.quick else 60)
    table.add("64 cameras of 2 Mbit/s with Opus: CPU in all", result["cpu_percent"], 8, "% of a core")
    table.add("   the kernel's write-back beside it", 64 * result["write_back_percent_a_camera"], None, "% of a core")
    table.add("   RSS", result["rss_mb"], None, "MB", digits=0)
    table.check(f"   frames in their order, {sum(result['frames'].values())} of picture and sound", result["holes"])


def measured_media(table, arguments, store):
    result = serving.media(arguments.miharu, store)
    table.add("media over HTTP, of nginx's bytes a second", 100 * result["ratio"], 90, "%", at_least=True, digits=0)
    table.note("   miharu, nginx", f"{result['miharu_mb_s']:.0f}, {result['nginx_mb_s']:.0f} MB/s")
    for name, key in (("page cache warm", "first_byte_warm"), ("page cache cold", "first_byte_cold")):
        table.add(f"first byte of any place, {name}: median", result[key]["median_ms"], 3, "ms")
        table.add("   95 of 100", result[key]["p95_ms"], None, "ms")


def measured_playlists(table, arguments):
    store = serving.named_store(arguments.programs / "make_store", 8, 30)
    result = serving.playlists(arguments.miharu, store, 1 if arguments.quick else 5)
    day, week = result["24 h by chunk"], result["7 days by object"]
    table.add("playlist of 24 h by chunk, first", day["first_ms"], 25, "ms", digits=1)
    table.add("   cached", day["cached_ms"], 1, "ms")
    table.add("   memory", day["rss_mb"], None, "MB", digits=1)
    table.add("playlist of 7 days by object, first", week["first_ms"], 80, "ms", digits=1)
    table.add("   cached", week["cached_ms"], None, "ms")
    table.add("   memory", week["rss_mb"], 10, "MB", digits=1)
    table.add("ready after the start, 691200 objects", result["ready_ms"], 300, "ms", digits=0)


def measured_llhls(table, arguments):
    viewers, seconds, runs = (20, 10, 1) if arguments.quick else (100, 40, 3)
    results = [llhls.run(arguments.miharu, arguments.programs, viewers, seconds) for _ in range(runs)]
    if any("skipped" in result for result in results):
        return table.note("LL-HLS", "not measured: " + results[0]["skipped"])
    table.add(f"LL-HLS, {viewers} viewers: CPU a viewer", statistics.median(result["cpu_percent_a_viewer"] for result in results), 0.05, "% of a core", digits=3)
    table.check(f"   parts in their order, {sum(result['parts'] for result in results)}", [problem for result in results for problem in result["problems"]])
    return None


def measured_live(table, arguments):
    viewers, seconds, runs = (20, 5, 1) if arguments.quick else (100, 15, 3)
    results = [live.run(arguments.miharu, arguments.programs, viewers, seconds) for _ in range(runs)]
    problems = [problem for result in results for problem in result["problems"]]
    if any("us_a_packet" not in result for result in results):
        return table.check("WebRTC", problems or ["no packet came"])

    def median(of):
        return statistics.median(of(result) for result in results)

    table.add(f"WebRTC, {viewers} viewers: CPU a packet, of the floor in the same run", median(lambda result: result["of_the_floor"]), 1.4, "times")
    table.add("   CPU a packet, recording taken off", median(lambda result: result["us_a_packet"]), None, "us")
    table.add("   the floor", median(lambda result: result["floor"]["ns_a_packet"] / 1000), None, "us")
    table.add("   RSS a viewer", median(lambda result: result["rss_kb_a_viewer"]), 200, "KB", digits=0)
    table.add("   first key frame whole: median", median(lambda result: result["first_key_frame_ms"]["p50"]), 100, "ms", digits=0)
    table.add("   95 of 100", median(lambda result: result["first_key_frame_ms"]["p95"]), 200, "ms", digits=0)
    table.add("   longest gap between frames", max(result["longest_gap_ms"] for result in results), None, "ms", digits=0)
    table.check(f"   packets, {sum(result['packets'] for result in results)}", problems)
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--miharu", required=True, type=pathlib.Path)
    parser.add_argument("--programs", required=True, type=pathlib.Path)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    began = time.monotonic()
    if os.cpu_count() < 2:
        sys.exit("two cores are needed: one for the server, one for cameras and viewers")
    table = Table()
    print(f"load at the start: {os.getloadavg()[0]:.1f}", flush=True)
    for step in (measured_playlists, measured_recording, measured_many, measured_llhls, measured_live):
        try:
            step(table, arguments)
        except (OSError, RuntimeError, ValueError, measure.subprocess.SubprocessError) as error:
            table.note(step.__name__.replace("measured_", ""), f"NOT MEASURED: {error}")
            table.wrong.append(str(error))
    table.note("load at the end, minutes taken", f"{os.getloadavg()[0]:.1f}, {(time.monotonic() - began) / 60:.0f}")
    table.show()
    return 1 if table.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
