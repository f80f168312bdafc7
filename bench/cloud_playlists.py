#!/usr/bin/env python3
"""Playlists from a bucket by `miharu serve`, and the cold start of the Lambda function.

    python bench/cloud_playlists.py [--miharu build/release/miharu] [--bootstrap build/lambda/bootstrap] [--runs 5]

with the Python of the tests. The store is versitygw with the names of a camera of 26 h in segments of 30 s (3120 small objects: no byte of
them is read). Each cold playlist is the first request to a new `miharu serve`; the bare client lists the same hours over 16 connections of
its own, as raw as can be, right before. The delay is added by a proxy, 50 ms to each listing. The function's cold start is from fork
to the answer on a runtime API of our own, in a control group with 0.6 of a processor, as root.
"""
import argparse
import concurrent.futures
import contextlib
import http.client
import http.server
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
import threading
import time

import boto3
import botocore.config

import measure

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "test/integration"))
import bucket  # noqa: E402
from test_lambda import TOKEN_KEY, environment, event_of, keys_of  # noqa: E402

CAMERA = "cam0"
LISTED_AT_ONCE = 16


class DelayingProxy:
    """To the store, with a pause before each listing. Counts the time from a request's last byte to its answer's."""

    def __init__(self, port, pause):
        self.port, self.pause = port, pause
        self.busy = []  # (from, to)
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.socket.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with contextlib.suppress(OSError), client, socket.create_connection(("127.0.0.1", self.port)) as store:
            store.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            held = b""
            while True:
                while b"\r\n\r\n" not in held:
                    piece = client.recv(65536)
                    if not piece:
                        return
                    held += piece
                head, _, held = held.partition(b"\r\n\r\n")  # a GET has no body
                began = time.monotonic()
                if b"list-type=2" in head:
                    time.sleep(self.pause)
                store.sendall(head + b"\r\n\r\n")
                relay_reply(store, client)
                self.busy.append((began, time.monotonic()))

    def waited(self):
        """Seconds in which at least one request was on its way."""
        total, until = 0.0, 0.0
        for began, ended in sorted(self.busy):
            total += max(0.0, ended - max(began, until))
            until = max(until, ended)
        return total

    def close(self):
        self.socket.close()


def relay_reply(store, client):
    """One answer with a Content-Length."""
    text = b""
    while b"\r\n\r\n" not in text:
        piece = store.recv(1 << 16)
        if not piece:
            raise OSError("the store ended the connection")
        text += piece
    head, _, body = text.partition(b"\r\n\r\n")
    left = int(re.search(rb"(?i)content-length: *(\d+)", head)[1]) - len(body)
    pieces = [text]
    while left > 0:
        pieces.append(store.recv(1 << 16))
        left -= len(pieces[-1])
    if client is not None:
        client.sendall(b"".join(pieces))
    elif not text.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError(text[:500])


def fill(store, hours):
    """A recording that ends at the last full hour; gives that."""
    with tempfile.TemporaryDirectory() as folder:
        names = pathlib.Path(folder) / "names"
        subprocess.run([ARGUMENTS.programs / "make_store", names, "1", "2"], check=True)
        until = int(time.time()) // 3600 * 3600
        paths = sorted(names.glob(f"rec/{CAMERA}/*/*/*/*/*"))

        def start_of(path):
            from calendar import timegm
            return timegm(time.strptime(path.name[:15], "%Y%m%dT%H%M%S"))
        wanted = [path for path in paths if until - hours * 3600 <= start_of(path) < until + 3600]
        client = store.client()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda path: client.put_object(Bucket=store.bucket, Key=f"{store.prefix}r1/{path.relative_to(names)}", Body=b"x"), wanted))
        return until, len(wanted)


def bare_listings(store, port, prefixes):
    """Seconds for a listing of each prefix: signed before, over new connections, not parsed."""
    client = boto3.client("s3", endpoint_url=store.endpoint, region_name="us-east-1", aws_access_key_id=bucket.READER_KEYS[0],
                          aws_secret_access_key=bucket.READER_KEYS[1],
                          config=botocore.config.Config(signature_version="s3v4", s3={"addressing_style": "path"}))
    heads = []
    for prefix in prefixes:
        url = client.generate_presigned_url("list_objects_v2", Params={"Bucket": store.bucket, "Prefix": store.prefix + prefix, "Delimiter": "/"})
        path = url.split(f":{store.port}", 1)[1]
        heads.append(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{store.port}\r\n\r\n".encode())
    todo = iter(heads)
    lock = threading.Lock()

    failed = []

    def work():
        try:
            list_some()
        except (OSError, RuntimeError) as error:
            failed.append(error)

    def list_some():
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                with lock:
                    head = next(todo, None)
                if head is None:
                    return
                connection.sendall(head)
                relay_reply(connection, None)
    threads = [threading.Thread(target=work) for _ in range(min(LISTED_AT_ONCE, len(heads)))]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.monotonic() - began
    if failed:
        raise failed[0]
    return elapsed


def hours_of(start, end):
    """Prefixes of the hours that an interval needs: from three minutes before its start."""
    first = (start - 180) // 3600 * 3600
    return ["r1/" + time.strftime(f"rec/{CAMERA}/%Y/%m/%d/%H/", time.gmtime(hour)) for hour in range(first, end, 3600)]


class Serve:
    def __init__(self, store, folder, endpoint):
        env = {**os.environ, **keys_of(store, bucket.READER_KEYS), "AWS_ENDPOINT_URL": endpoint, "MIHARU_TOKEN_KEY_FILE": str(folder / "key")}
        self.process = subprocess.Popen([ARGUMENTS.miharu, "serve", "--store", store.url, "--listen", "127.0.0.1:0"],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env)
        line = self.process.stdout.readline()
        self.port = int(re.search(r"http://127\.0\.0\.1:(\d+)", line)[1])
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        self.get("/healthz")

    def get(self, path):
        """Milliseconds and body."""
        began = time.monotonic()
        self.connection.request("GET", path, headers={"Accept-Encoding": "gzip"})
        answer = self.connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {body[:300]}")
        return 1000 * (time.monotonic() - began), body

    def stop(self):
        self.connection.close()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)


def token(store, folder):
    done = subprocess.run([ARGUMENTS.miharu, "token", "create", CAMERA, "--rights", "playback", "--store", store.url], capture_output=True, text=True, check=True,
                          env={**os.environ, **keys_of(store, bucket.ROOT_KEYS), "MIHARU_TOKEN_KEY_FILE": str(folder / "key")})
    return done.stdout.strip()


def playlists(store, folder, until, allowed):
    rows = []
    for name, hours in (("2 h by chunk", 2), ("24 h by object", 24)):
        start, end = until - hours * 3600, until
        query = f"/t/{allowed}/hls/{CAMERA}/vod.m3u8?from={start}&to={end}"
        for pause in (0, 0.05):
            proxy = DelayingProxy(store.port, pause) if pause else None
            endpoint, port = (proxy.address, proxy.socket.getsockname()[1]) if proxy else (store.endpoint, store.port)
            cold, floor, warm, cached, memory = [], [], [], [], []
            for _ in range(ARGUMENTS.runs):
                floor.append(1000 * bare_listings(store, port, hours_of(start, end)))
                server = Serve(store, folder, endpoint)
                elapsed, _ = server.get(query)
                cold.append(elapsed)
                warm.append(server.get(query + "&other")[0])
                cached.append(min(server.get(query)[0] for _ in range(5)))
                memory.append(measure.memory_mb(server.process.pid)["peak"])
                server.stop()
            if proxy:
                proxy.close()
            row = {"playlist": name, "delay_ms": 1000 * pause, "cold_ms": statistics.median(cold), "listings_ms": statistics.median(floor),
                   "ratio": statistics.median(a / b for a, b in zip(cold, floor)), "warm_ms": statistics.median(warm),
                   "cached_ms": statistics.median(cached), "peak_mb": max(memory)}
            rows.append(row)
            print(json.dumps({key: round(value, 2) if isinstance(value, float) else value for key, value in row.items()}), flush=True)
    return rows


def from_cache(store, folder, until, allowed):
    """Playlists of a complete past hour a second of the server's processor time."""
    server = Serve(store, folder, store.endpoint)
    query = f"/t/{allowed}/hls/{CAMERA}/vod.m3u8?from={until - 7200}&to={until - 3600}"
    server.get(query)
    before = measure.cpu_seconds(server.process.pid)
    done = subprocess.run(["wrk", "-t1", "-c8", "-d5s", "-H", "Accept-Encoding: gzip", f"http://127.0.0.1:{server.port}{query}"], capture_output=True, text=True, check=True)
    used = measure.cpu_seconds(server.process.pid) - before
    count = int(re.search(r"(\d+) requests in", done.stdout)[1])
    if "Non-2xx" in done.stdout:
        raise RuntimeError(done.stdout)
    server.stop()
    print(json.dumps({"playlists a second of processor time": round(count / used), "served": count}), flush=True)


class QuietServer(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):  # the function is ended in the middle of its next question
        pass


class RuntimeApi(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.server.handed:
            self.server.idle.wait()
            return
        self.server.handed = True
        self.send_response(200)
        self.send_header("Lambda-Runtime-Aws-Request-Id", "1")
        self.send_header("Content-Length", str(len(self.server.event)))
        self.end_headers()
        self.wfile.write(self.server.event)

    def do_POST(self):
        self.server.answer = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.answered = time.monotonic()
        self.server.done.set()
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def control_group(share):
    """A group with that share of a processor, or nothing where there is none to be had."""
    group = pathlib.Path(f"/sys/fs/cgroup/cpu/miharu-bench-{os.getpid()}")
    with contextlib.suppress(OSError):
        group.mkdir()
        # As fine as Lambda's: a period of 20 ms.
        (group / "cpu.cfs_period_us").write_text("20000")
        (group / "cpu.cfs_quota_us").write_text(str(int(20000 * share)))
        return group
    return None


def first_answer(store, group, event, env):
    """Milliseconds from fork to the answer to that event."""
    api = QuietServer(("127.0.0.1", 0), RuntimeApi)
    api.event, api.handed, api.done, api.idle = json.dumps(event).encode(), False, threading.Event(), threading.Event()
    threading.Thread(target=api.serve_forever, daemon=True).start()
    env = {**environment(store, MIHARU_DELIVERY="proxied"), **env, "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{api.server_address[1]}"}
    began = time.monotonic()
    process = subprocess.Popen(["sh", "-c", f"echo $$ > {group}/cgroup.procs && exec {ARGUMENTS.bootstrap}"], env=env, stderr=subprocess.DEVNULL)
    if not api.done.wait(20):
        raise RuntimeError("the function gave no answer")
    process.kill()
    process.wait()
    api.idle.set()
    api.shutdown()
    api.server_close()
    if json.loads(api.answer)["statusCode"] != 200:
        raise RuntimeError(api.answer[:300])
    return 1000 * (api.answered - began)


class TlsStore:
    """The same server by TLS beside the first, and a bundle of authorities as long as the system's."""

    def __init__(self, store, folder):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / "tls.key", "-out", folder / "tls.crt"],
                       check=True, capture_output=True)
        self.bundle = folder / "bundle.crt"
        self.bundle.write_bytes(pathlib.Path("/etc/ssl/certs/ca-certificates.crt").read_bytes() + (folder / "tls.crt").read_bytes())
        self.process = subprocess.Popen(
            [bucket.versitygw(), "-a", bucket.ROOT_KEYS[0], "-s", bucket.ROOT_KEYS[1], "--port", "127.0.0.1:0", "--iam-dir",
             store.folder / "iam", "--keep-alive", "--cert", folder / "tls.crt", "--key", folder / "tls.key",
             "posix", "--versioning-dir", store.folder / "versions", store.folder / "data"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        port = bucket.wait_until(lambda: bucket.listening_port(self.process.pid), 20, "versitygw listens")
        self.env = {"AWS_ENDPOINT_URL": f"https://127.0.0.1:{port}", "AWS_CA_BUNDLE": str(self.bundle)}

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


def cold_start(store, folder, until, allowed):
    group = control_group(0.6)
    if group is None:
        print(json.dumps({"cold start": "not measured: no control group can be made here"}))
        return
    playlist = event_of("GET", f"/hls/{CAMERA}/vod.m3u8?from={until - 7200}&to={until}",
                        [("X-Miharu-Token", allowed), ("Accept-Encoding", "gzip")], b"", "x")

    def tell(name, times, **more):
        row = {"cold start": name, "to_answer_ms": statistics.median(times), "worst_ms": max(times), **more}
        print(json.dumps({key: round(value, 1) if isinstance(value, float) else value for key, value in row.items()}), flush=True)

    runs = range(2 * ARGUMENTS.runs)
    health = event_of("GET", "/healthz", [], b"", "x")
    tell("alive", [first_answer(store, group, health, {}) for _ in runs])
    times, apart = [], []
    for _ in runs:
        proxy = DelayingProxy(store.port, 0)
        times.append(first_answer(store, group, playlist, {"AWS_ENDPOINT_URL": proxy.address}))
        apart.append(times[-1] - 1000 * proxy.waited())
        proxy.close()
    tell("2 h by chunk", times, without_the_stores_time_ms=statistics.median(apart), worst_without_ms=max(apart))
    tls = TlsStore(store, folder)
    tell("2 h by chunk, by TLS", [first_answer(store, group, playlist, tls.env) for _ in runs])
    tls.stop()
    group.rmdir()


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "key").write_text(TOKEN_KEY + "\n")
        (folder / "key").chmod(0o600)
        with bucket.Store(folder / "bucket") as store:
            until, count = fill(store, 26)
            print(json.dumps({"objects": count, "load": os.getloadavg()[0]}), flush=True)
            allowed = token(store, folder)
            playlists(store, folder, until, allowed)
            from_cache(store, folder, until, allowed)
            cold_start(store, folder, until, allowed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--miharu", type=pathlib.Path, default="build/release/miharu")
    parser.add_argument("--bootstrap", type=pathlib.Path, default="build/lambda/bootstrap")
    parser.add_argument("--programs", type=pathlib.Path, default="build/bench/bench")
    parser.add_argument("--runs", type=int, default=5)
    ARGUMENTS = parser.parse_args()
    main()
