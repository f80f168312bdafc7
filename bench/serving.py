#!/usr/bin/env python3
"""Playlists, start-up and media over HTTP.

    bench/serving.py --miharu build/release/miharu --make-store build/bench/bench/make_store [--media DATA] [--cameras 8] [--days 30]

Playlists and start-up use a store of empty files with real names; its page cache is warm. With --media, the data folder of a
recording, whole objects are fetched in ranges of 1 MB by wrk from miharu and from nginx in turn, in the same run.
"""
import argparse
import gzip
import json
import os
import pathlib
import re
import signal
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.request


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Miharu:
    """A relay without cameras that lets everybody in, on a store that is there."""

    def __init__(self, program, folder, store):
        self.port = free_port()
        config = pathlib.Path(folder) / "miharu.toml"
        config.write_text(f'[server]\nlisten = "127.0.0.1:{self.port}"\n[auth]\nmode = "none"\n[store]\npath = "{store}"\n')
        began = time.monotonic()
        self.process = subprocess.Popen([program, "run", "--config", config, "--data", pathlib.Path(folder) / "data"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while True:
            try:
                self.get("/healthz")
                break
            except OSError:
                time.sleep(0.002)
        self.ready_ms = 1000 * (time.monotonic() - began)

    def get(self, path):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers={"Accept-Encoding": "gzip"})
        began = time.monotonic()
        with urllib.request.urlopen(request, timeout=30) as answer:
            body = answer.read()
        return 1000 * (time.monotonic() - began), body

    def rss_mb(self):
        return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{self.process.pid}/status").read_text())[1]) / 1024

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


def playlists(program, folder, store):
    result = {}
    for name, query in (("24 h by chunk", "from=-24h&to=-2m"), ("7 days by object", "from=-167h&to=-2m")):
        first, cached, memory = [], [], []
        for _ in range(5):
            server = Miharu(program, folder, store)
            result.setdefault("ready_ms", []).append(server.ready_ms)
            before = server.rss_mb()
            elapsed, body = server.get(f"/hls/cam0/vod.m3u8?{query}")
            first.append(elapsed)
            memory.append(server.rss_mb() - before)
            cached += [server.get(f"/hls/cam0/vod.m3u8?{query}")[0] for _ in range(10)]
            server.stop()
        text = gzip.decompress(body)
        result[name] = {"first_ms": statistics.median(first), "cached_ms": statistics.median(cached), "rss_mb": statistics.median(memory),
                        "bytes": len(body), "entries": text.count(b"#EXTINF")}
    result["ready_ms"] = statistics.median(result["ready_ms"])
    return result


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
    out = subprocess.run(["taskset", "-c", "1", "wrk", "-t1", "-c8", "-d5s", "-s", script, url_base + path], capture_output=True, text=True, check=True).stdout
    rate = re.search(r"Transfer/sec:\s+([\d.]+)(\w+)", out)
    return float(rate[1]) * {"KB": 1e-3, "MB": 1, "GB": 1e3}[rate[2]]


def media(program, folder, data):
    store = pathlib.Path(data).resolve() / "store"
    largest = max(store.rglob("*.mp4"), key=lambda item: item.stat().st_size)
    size = largest.stat().st_size
    key = largest.relative_to(store)
    port = free_port()
    config = pathlib.Path(folder) / "nginx.conf"
    config.write_text(f"daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log; user root;\n"
                      f"events {{}}\nhttp {{ access_log off; sendfile on; server {{ listen 127.0.0.1:{port}; location / {{ root {store}; }} }} }}\n")
    nginx = subprocess.Popen(["taskset", "-c", "0", "nginx", "-c", config], stderr=subprocess.DEVNULL)
    server = Miharu(program, folder, store)
    subprocess.run(["taskset", "-a", "-p", "-c", "0", str(server.process.pid)], check=True, stdout=subprocess.DEVNULL)
    try:
        ours, theirs = [], []
        for seed in range(3):
            ours.append(wrk(f"http://127.0.0.1:{server.port}", f"/media/{key}", size, folder, seed))
            theirs.append(wrk(f"http://127.0.0.1:{port}", f"/{key}", size, folder, seed))
        first_byte = []
        for _ in range(50):
            request = urllib.request.Request(f"http://127.0.0.1:{server.port}/media/{key}", headers={"Range": f"bytes={size // 2}-{size // 2 + 65535}"})
            began = time.monotonic()
            with urllib.request.urlopen(request, timeout=10) as answer:
                answer.read(1)
                first_byte.append(1000 * (time.monotonic() - began))
    finally:
        server.stop()
        nginx.terminate()
        nginx.wait(10)
    return {"miharu_mb_s": statistics.median(ours), "nginx_mb_s": statistics.median(theirs),
            "ratio": statistics.median(a / b for a, b in zip(ours, theirs)), "first_byte_ms": statistics.median(first_byte)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--miharu", required=True)
    parser.add_argument("--make-store", required=True)
    parser.add_argument("--media")
    parser.add_argument("--cameras", type=int, default=8)
    parser.add_argument("--days", type=int, default=30)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="miharu-bench-") as folder:
        store = pathlib.Path(folder) / "store"
        subprocess.run([arguments.make_store, store, str(arguments.cameras), str(arguments.days)], check=True)
        result = {"objects": arguments.cameras * arguments.days * 2880, **playlists(arguments.miharu, folder, store)}
        if arguments.media:
            result["media"] = media(arguments.miharu, folder, arguments.media)
    print(json.dumps(result, indent=1))
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
