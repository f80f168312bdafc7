#!/usr/bin/env python3
"""Playlists, start-up, and media over HTTP.

    bench/serving.py --miharu build/release/miharu --programs build/bench/bench [--media STORE] [--cameras 8] [--days 30]

Playlists and start-up use a store of empty files with real names, made once in the cache folder; its page cache is warm. With
--media, the store of a recording, whole objects are fetched in ranges of 1 MB by wrk from miharu and from nginx in turn, in the
same run, and first bytes are timed with the object's pages in the cache and dropped from it.
"""
import argparse
import gzip
import json
import os
import pathlib
import random
import re
import shutil
import socket
import statistics
import subprocess
import time

import measure


def named_store(make_store, cameras, days):
    """Made anew every day: its last objects end about now."""
    made = measure.cache_folder() / f"names-{cameras}x{days}"
    if made.exists() and time.time() - made.stat().st_mtime < 20 * 3600:
        return made
    shutil.rmtree(made, ignore_errors=True)
    unfinished = made.with_name("unfinished-names")
    shutil.rmtree(unfinished, ignore_errors=True)
    subprocess.run([make_store, unfinished, str(cameras), str(days)], check=True)
    unfinished.rename(made)
    os.utime(made)
    return made


def playlists(miharu, store, runs=5):
    result = {}
    now = made_until(store)
    for name, hours in (("24 h by chunk", 24), ("7 days by object", 167)):
        query = f"from={now - hours * 3600:.0f}&to={now:.0f}"
        first, cached, memory, ready = [], [], [], []
        for _ in range(runs):
            with measure.work_folder() as folder:
                server = measure.Miharu(miharu, folder, store)
                ready.append(server.ready_ms)
                server.get("/healthz")
                before = measure.memory_mb(server.pid)["rss"]
                elapsed, body = server.get(f"/hls/cam0/vod.m3u8?{query}")
                first.append(elapsed)
                memory.append(measure.memory_mb(server.pid)["rss"] - before)
                cached += [server.get(f"/hls/cam0/vod.m3u8?{query}")[0] for _ in range(10)]
                server.stop()
        text = gzip.decompress(body)
        result[name] = {"first_ms": statistics.median(first), "cached_ms": statistics.median(cached), "rss_mb": statistics.median(memory),
                        "bytes": len(body), "entries": text.count(b"#EXTINF")}
        result["ready_ms"] = statistics.median([*ready, *([result["ready_ms"]] if "ready_ms" in result else [])])
    return result


def made_until(store):
    """When the names of the store end, less a minute."""
    folder = store / "rec" / "cam0"
    for _ in range(4):
        folder = max(folder.iterdir())
    start = max(folder.iterdir()).name[:15]
    return time.mktime(time.strptime(start, "%Y%m%dT%H%M%S")) - time.timezone - 60


LUA = """
local size = {size}
math.randomseed({seed})
request = function()
  local at = math.random(0, math.floor(size / 1048576) - 1) * 1048576
  return wrk.format("GET", "{path}", {{["Range"] = "bytes=" .. at .. "-" .. (at + 1048575)}})
end
"""


def wrk(url_base, path, size, folder, seed):
    script = pathlib.Path(folder) / f"wrk-{seed}.lua"
    script.write_text(LUA.format(size=size, path=path, seed=seed))
    out = subprocess.run(measure.on_core(measure.CLIENT_CORE, ["wrk", "-t1", "-c8", "-d5s", "-s", script, url_base + path]),
                         capture_output=True, text=True, check=True).stdout
    rate = re.search(r"Transfer/sec:\s+([\d.]+)(\w+)", out)
    return float(rate[1]) * {"KB": 1e-3, "MB": 1, "GB": 1e3}[rate[2]]


def drop_pages(path):
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def first_bytes(server, store, cold, times=60):
    """Milliseconds until the first byte of media, from a random place of a random object, over a kept connection."""
    items = [item for item in store.rglob("*.mp4") if item.stat().st_size > 1 << 20]
    choose = random.Random(1)
    taken = []
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        for _ in range(times):
            item = choose.choice(items)
            at = choose.randrange(item.stat().st_size - 65536)
            if cold:
                drop_pages(item)
            began = time.monotonic()
            connection.sendall(f"GET /media/{item.relative_to(store)} HTTP/1.1\r\nHost: 127.0.0.1\r\nRange: bytes={at}-{at + 65535}\r\n\r\n".encode())
            data, end = b"", -1
            while end < 0 or len(data) <= end + 4:
                data += connection.recv(65536)
                end = data.find(b"\r\n\r\n")
            taken.append(1000 * (time.monotonic() - began))
            if not data.startswith(b"HTTP/1.1 206"):
                raise RuntimeError(data[:200])
            while len(data) < end + 4 + 65536:
                data += connection.recv(65536)
    taken.sort()
    return {"median_ms": statistics.median(taken), "p95_ms": taken[int(0.95 * len(taken))]}


def media(miharu, store):
    with measure.work_folder() as folder:
        largest = max(store.rglob("*.mp4"), key=lambda item: item.stat().st_size)
        size = largest.stat().st_size
        key = largest.relative_to(store)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        config = pathlib.Path(folder) / "nginx.conf"
        config.write_text(f"daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log; user root;\n"
                          f"events {{}}\nhttp {{ access_log off; sendfile on; server {{ listen 127.0.0.1:{port}; location / {{ root {store}; }} }} }}\n")
        nginx = subprocess.Popen(measure.on_core(measure.SERVER_CORE, ["nginx", "-c", config]), stderr=subprocess.DEVNULL)
        server = measure.Miharu(miharu, folder, store)
        try:
            ours, theirs = [], []
            for seed in range(3):
                ours.append(wrk(f"http://127.0.0.1:{server.port}", f"/media/{key}", size, folder, seed))
                theirs.append(wrk(f"http://127.0.0.1:{port}", f"/{key}", size, folder, seed))
            warm, cold = first_bytes(server, store, False), first_bytes(server, store, True)
        finally:
            server.stop()
            nginx.terminate()
            nginx.wait(10)
    return {"miharu_mb_s": statistics.median(ours), "nginx_mb_s": statistics.median(theirs),
            "ratio": statistics.median(a / b for a, b in zip(ours, theirs)), "first_byte_warm": warm, "first_byte_cold": cold}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--miharu", required=True, type=pathlib.Path)
    parser.add_argument("--programs", required=True, type=pathlib.Path)
    parser.add_argument("--media", type=pathlib.Path)
    parser.add_argument("--cameras", type=int, default=8)
    parser.add_argument("--days", type=int, default=30)
    arguments = parser.parse_args()
    store = named_store(arguments.programs / "make_store", arguments.cameras, arguments.days)
    result = {"objects": arguments.cameras * arguments.days * 2880, **playlists(arguments.miharu, store)}
    if arguments.media:
        result["media"] = media(arguments.miharu, arguments.media.resolve())
    print(json.dumps(result, indent=1))
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
