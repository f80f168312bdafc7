#!/usr/bin/env python3
"""Uploading to a real S3 server on this machine: CPU a camera, how fast a backlog drains, and memory.

    PYTHON bench/upload.py --miharu build/release/miharu --cameras-program build/bench/bench/rtsp_cameras PART [--tls] ...
    PYTHON is that of the integration tests (boto3): ~/.cache/miharu/python-tests/bin/python

    cost     64 cameras of 4 Mbit/s are recorded and uploaded. CPU is user and system time of the thread that uploads: hashes,
             TLS, SQLite and, on loopback, delivery to the server's socket are in it.
    drain    a backlog drains, in turn with s5cmd (--s5cmd: the program) and boto3 with as many threads as are best for it
             copying the same files to the same server. MB/s of each, and the ratios of the same round.
    memory   resident size with few and with many objects that wait.

The server is versitygw; miharu has the first core, cameras the second, and the server and other clients both.
"""
import argparse
import concurrent.futures
import gzip
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import time

import boto3
import botocore.config

import measure

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "test/integration"))
from bucket import ROOT_KEYS, Store  # noqa: E402


class TlsStore(Store):
    """Behind a certificate of an authority of our own, which clients are told of as users would."""

    def __init__(self, folder, tls, **more):
        self.tls = tls
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        arguments = ["--keep-alive"]
        if tls:
            self.authority = folder / "ca.pem"
            make_certificates(folder)
            arguments += ["--cert", str(folder / "server.pem"), "--key", str(folder / "server.key")]
        super().__init__(folder, arguments=arguments, **more)

    @property
    def endpoint(self):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def make(self):
        self.client().create_bucket(Bucket=self.bucket)
        return self

    def client(self, keys=ROOT_KEYS, connections=10):
        return boto3.client("s3", endpoint_url=self.endpoint, region_name="us-east-1", aws_access_key_id=keys[0],
                            aws_secret_access_key=keys[1], verify=str(self.authority) if self.tls else None,
                            config=botocore.config.Config(max_pool_connections=connections, s3={"addressing_style": "path"}))

    def environment(self, keys=ROOT_KEYS):
        more = {"AWS_CA_BUNDLE": str(self.authority)} if self.tls else {}
        return {**super().environment(keys), **more}

    def clear(self):
        shutil.rmtree(self.folder / "data" / self.bucket)
        (self.folder / "data" / self.bucket).mkdir()
        self.client().head_bucket(Bucket=self.bucket)


def make_certificates(folder):
    def openssl(*arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", 2, "-subj", "/CN=authority", "-keyout", folder / "ca.key", "-out", folder / "ca.pem")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=127.0.0.1", "-keyout", folder / "server.key",
            "-out", folder / "server.csr")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", folder / "server.csr", "-CA", folder / "ca.pem", "-CAkey", folder / "ca.key", "-CAcreateserial", "-days", 2,
            "-extfile", folder / "names", "-out", folder / "server.pem")


def thread_seconds(pid, name):
    """CPU of the thread of that name."""
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().strip() == name:
            return int((task / "schedstat").read_text().split()[0]) / 1e9
    raise RuntimeError(f"no thread {name}")


def metric(server, name):
    text = server.get("/metrics")[1]
    if text[:2] == b"\x1f\x8b":
        text = gzip.decompress(text)
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text.decode(), re.MULTILINE))


def cost(arguments):
    results = []
    for _ in range(arguments.runs):
        with measure.work_folder() as folder:
            folder = pathlib.Path(folder)
            with TlsStore(folder / "s3", arguments.tls) as store:
                source = measure.Cameras(arguments.cameras_program, "opus-4m")
                cameras = [(f"cam{i}", f"rtsp://127.0.0.1:{source.port}/{i}") for i in range(arguments.cameras)]
                server = measure.Miharu(arguments.miharu, folder, cameras=cameras, more=store.config(), env=store.environment())
                try:
                    # Objects end together where cameras began together; two rounds of them, then whole rounds are measured.
                    time.sleep(75)
                    before, whole, began = thread_seconds(server.pid, "upload"), measure.cpu_seconds(server.pid), time.monotonic()
                    sent = metric(server, "miharu_uploaded_bytes_total")
                    time.sleep(arguments.seconds)
                    elapsed = time.monotonic() - began
                    cpu = thread_seconds(server.pid, "upload") - before
                    whole = measure.cpu_seconds(server.pid) - whole
                    sent = metric(server, "miharu_uploaded_bytes_total") - sent
                    memory = measure.memory_mb(server.pid)
                    waiting = metric(server, "miharu_upload_pending_objects")
                finally:
                    server.stop()
                    source.stop()
        results.append({"upload_percent_a_camera": 100 * cpu / elapsed / arguments.cameras, "all_percent_a_camera": 100 * whole / elapsed / arguments.cameras,
                        "uploaded_mbit_s": sent * 8 / elapsed / 1e6, "cpu_ms_a_mb": 1000 * cpu / (sent / 1e6), "rss_mb": memory["rss"], "waiting": waiting})
        print(json.dumps(results[-1]), flush=True)
    print(json.dumps({"median_upload_percent_a_camera": statistics.median(each["upload_percent_a_camera"] for each in results), "tls": arguments.tls,
                      "cameras": arguments.cameras, "load": os.getloadavg()[0]}))


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def no_cloud(relay="r1"):
    """A [cloud] section whose store is away."""
    return f'[cloud]\nurl = "s3://footage/home"\nendpoint = "http://127.0.0.1:{closed_port()}"\nrelay = "{relay}"\n'


def record_backlog(arguments, folder):
    """Objects of many cameras, and the log of a relay that had no link all the while."""
    source = measure.Cameras(arguments.cameras_program, "opus-4m")
    cameras = [(f"cam{i}", f"rtsp://127.0.0.1:{source.port}/{i}") for i in range(arguments.cameras)]
    env = {"AWS_ACCESS_KEY_ID": ROOT_KEYS[0], "AWS_SECRET_ACCESS_KEY": ROOT_KEYS[1]}
    server = measure.Miharu(arguments.miharu, folder, cameras=cameras, more=no_cloud(), env=env)
    time.sleep(arguments.seconds)
    server.stop()
    source.stop()
    # Once more without cameras: the objects that the stop finished come into the log.
    server = measure.Miharu(arguments.miharu, folder, more=no_cloud(), env=env)
    time.sleep(2)
    server.stop()
    database = sqlite3.connect(folder / "data/miharu.db")
    database.execute("UPDATE uploads SET found = 0, attempts = 0")
    database.commit()
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    for path in (folder / "data").glob("miharu.db-*"):
        path.unlink()
    shutil.copy(folder / "data/miharu.db", folder / "template.db")
    files = sorted((folder / "store").glob("rec/*/*/*/*/*/*"))
    return files, sum(path.stat().st_size for path in files)


def drain_miharu(arguments, store, folder, total):
    for path in (folder / "data").glob("miharu.db*"):
        path.unlink()
    shutil.copy(folder / "template.db", folder / "data/miharu.db")
    server = measure.Miharu(arguments.miharu, folder, core="0,1", more=store.config(), env=store.environment())
    try:
        cpu = thread_seconds(server.pid, "upload")
        samples = []
        while not samples or samples[-1][1] < total:
            samples.append((time.monotonic(), metric(server, "miharu_uploaded_bytes_total")))
            if len(samples) > 20000:
                raise RuntimeError("it does not drain")
            time.sleep(0.02)
        cpu = thread_seconds(server.pid, "upload") - cpu
        # From before the first object was done: what it took to send is in the time.
        first = next(i for i, (_, sent) in enumerate(samples) if sent > 0)
        began = samples[max(0, first - 1)][0]
        seconds = samples[-1][0] - began
        return (total - samples[max(0, first - 1)][1]) / seconds / 1e6, cpu / seconds
    finally:
        server.stop()


def drain_s5cmd(arguments, store, folder, total, workers):
    environment = {**os.environ, **store.environment()}
    command = [arguments.s5cmd, "--endpoint-url", store.endpoint, "--numworkers", str(workers), "--log", "error"]
    if store.tls:
        command += ["--no-verify-ssl"]
    began = time.monotonic()
    before = os.times()
    subprocess.run([*command, "cp", f"{folder}/store/rec/", f"s3://{store.bucket}/home/r1/rec/"], check=True, env=environment)
    after, seconds = os.times(), time.monotonic() - began
    return total / seconds / 1e6, (after.children_user + after.children_system - before.children_user - before.children_system) / seconds


def drain_boto3(store, folder, files, total, threads):
    client = store.client(connections=threads)

    def put(path):
        with open(path, "rb") as body:
            client.put_object(Bucket=store.bucket, Key=f"home/r1/{path.relative_to(folder / 'store')}", Body=body)
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        list(pool.map(put, files))
    return total / (time.monotonic() - began) / 1e6


def drain(arguments):
    with measure.work_folder() as folder:
        folder = pathlib.Path(folder)
        files, total = record_backlog(arguments, folder)
        print(json.dumps({"objects": len(files), "mb": round(total / 1e6)}), flush=True)
        rounds = []
        with TlsStore(folder / "s3", arguments.tls) as store:
            for _ in range(arguments.runs):
                told = {}
                told["miharu"], told["miharu_core"] = drain_miharu(arguments, store, folder, total)
                assert len(store.keys("r1/rec/")) == len(files)
                store.clear()
                if arguments.s5cmd:
                    for workers in arguments.workers:
                        told[f"s5cmd_{workers}"], told[f"s5cmd_{workers}_cores"] = drain_s5cmd(arguments, store, folder, total, workers)
                        assert len(store.keys("r1/rec/")) == len(files)
                        store.clear()
                for threads in arguments.workers:
                    told[f"boto3_{threads}"] = drain_boto3(store, folder, files, total, threads)
                    store.clear()
                best = max(value for name, value in told.items() if name != "miharu" and not name.endswith(("core", "cores")))
                told["ratio"] = told["miharu"] / best
                rounds.append(told)
                print(json.dumps({name: round(value, 2) for name, value in told.items()}), flush=True)
    print(json.dumps({"median_ratio_to_the_best": round(statistics.median(each["ratio"] for each in rounds), 3), "tls": arguments.tls,
                      "load": os.getloadavg()[0]}))


def memory(arguments):
    """Names of real objects under other starts and numbers, with nothing in the files: they only wait."""
    with measure.work_folder() as folder:
        folder = pathlib.Path(folder)
        env = {"AWS_ACCESS_KEY_ID": ROOT_KEYS[0], "AWS_SECRET_ACCESS_KEY": ROOT_KEYS[1]}
        for count in arguments.waiting:
            here = folder / str(count)
            here.mkdir()
            measure.Miharu(arguments.miharu, here, env=env).stop()  # makes the store
            cameras = 8
            for camera in range(cameras):
                for number in range(count // cameras):
                    start = time.gmtime(1_760_000_000 + 30 * number)
                    name = f"{time.strftime('%Y%m%dT%H%M%S.000Z', start)}_1r_{base36(1000 + 8 * number)}_{arguments.table}.mp4"
                    path = here / f"store/rec/cam{camera}/{time.strftime('%Y/%m/%d/%H', start)}"
                    if number % 120 == 0 or not path.exists():
                        path.mkdir(parents=True, exist_ok=True)
                    (path / name).touch()
            server = measure.Miharu(arguments.miharu, here, more=no_cloud(), env=env)
            try:
                while metric(server, "miharu_upload_pending_objects") < count // cameras * cameras:
                    time.sleep(0.5)
                time.sleep(5)
                print(json.dumps({"waiting": count, **measure.memory_mb(server.pid)}), flush=True)
            finally:
                server.process.send_signal(signal.SIGKILL)
                server.process.wait()


def base36(value):
    text = ""
    while value:
        value, digit = divmod(value, 36)
        text = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + text
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["cost", "drain", "memory"])
    parser.add_argument("--miharu", required=True, type=pathlib.Path)
    parser.add_argument("--cameras-program", type=pathlib.Path)
    parser.add_argument("--s5cmd", type=pathlib.Path)
    parser.add_argument("--cameras", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="+", default=[4, 16])
    parser.add_argument("--waiting", type=int, nargs="+", default=[1000, 100_000])
    parser.add_argument("--table", default="ARQFHsgBCgMUCMgBDAHerb7v", help="of the names in `memory`")
    parser.add_argument("--tls", action="store_true")
    arguments = parser.parse_args()
    {"cost": cost, "drain": drain, "memory": memory}[arguments.part](arguments)


if __name__ == "__main__":
    main()
