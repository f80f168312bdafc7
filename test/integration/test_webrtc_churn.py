"""Viewers that come and go at random while their camera restarts: nothing of them may be left, and who stays sees all pictures.

By default 250 sessions in 50 s; in CI and with MIHARU_FULL=1 1000 in 5 minutes. MIHARU_CHURN=SECONDS,SESSIONS[,SEED] says it otherwise:
3600,12000 is an hour. The same seed makes the same viewers at the same times; what comes of it depends on the machine, too.
"""
import collections
import contextlib
import json
import os
import random
import re
import socket
import statistics
import threading
import time
import types
from dataclasses import dataclass

import pytest

from cameras import GStreamerCamera
from harness import BINARY, Miharu, demo_url, machine_is_busy, wait_until
from stun import binding_request, client_hello
from whep import SDP, Player, answered, ask, attribute, go_client, offer, udp_port

FPS = 25
FULL = os.environ.get("MIHARU_FULL") == "1" or os.environ.get("CI") == "true"
LENGTH = [int(each) for each in os.environ.get("MIHARU_CHURN", "300,1000" if FULL else "50,250").split(",")]
SECONDS, SESSIONS = LENGTH[:2]
SEED = LENGTH[2] if len(LENGTH) > 2 else 1
AT_ONCE = 24
RESTART_EACH = 20  # seconds
EXPIRY = 30  # seconds without a check, or for a handshake, by docs/limits.md
STALL_MS = 2000

# A viewer's keys and handshake are 60 KB (docs/decisions/013). If they stayed, those of the 160 of 250 who shake hands would be 9 MB.
# What is allocated before the first of them came and after the last was forgotten differs by the groups of pictures that are kept, and by
# what recording with a camera that restarts takes: 0.8 MB in 4 minutes without viewers, 1.1 MB with 1200, 1.6 MB in 10 with 2000.
HEAP_GROWTH_MB = 2 + SECONDS / 600
# Of the process, when as many have been forgotten as come, and at the end. In between 400 of 1000 shake hands (24 MB).
RSS_GROWTH_MB = 4
# Sanitizers keep freed memory; LeakSanitizer looks at the end.
SANITIZED = any(mark in BINARY.read_bytes() for mark in (b"__asan_init", b"__tsan_init")) if BINARY.exists() else False

KINDS = {"leaves": 35, "vanishes": 20, "restarts": 15, "never_shakes_hands": 12, "never_comes": 9, "ends_at_once": 9}


@dataclass
class Plan:
    at: float
    kind: str
    camera: str
    stays: float


def plans():
    chance = random.Random(SEED)
    times = sorted(chance.uniform(0, SECONDS) for _ in range(SESSIONS))
    kinds = chance.choices(list(KINDS), list(KINDS.values()), k=SESSIONS)
    return [Plan(at, kind, chance.choice(["steady", "restarting"]), chance.choice([0.1, 1, 2, 4, 8]) * chance.random())
            for at, kind in zip(times, kinds)]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    go_client()
    with GStreamerCamera() as camera:
        cameras = {"steady": demo_url(fps=FPS, audio=False), "restarting": camera.url("/aac")}
        with Miharu(tmp_path_factory.mktemp("churn"), cameras) as running:
            running.restarting = camera
            running.all = running.token("*")
            for name in cameras:
                answered(running, name, running.all)
            running.udp = udp_port(running)
            yield running
            # Sanitizers have their say at the end.
            assert running.stop(60) == 0, running.log()


def metrics(server):
    """{name: {labels: value}}, the labels as they stand there."""
    status, _, body = server.request("/metrics")
    assert status == 200, body
    found = collections.defaultdict(dict)
    for name, labels, value in re.findall(r"^([a-z]\w+)(?:\{(.*)\})? (\S+)$", body.decode(), re.MULTILINE):
        found[name][labels] = float(value)
    return found


def objects(server):
    return {re.fullmatch(r'kind="(\w+)"', labels)[1]: int(value) for labels, value in metrics(server)["miharu_live_objects"].items()}


def heap_mb(server):
    return metrics(server)["process_heap_bytes"][""] / 2**20


def open_files(server):
    """How many of each kind, but for recorded objects: those of the last two minutes are kept open (recording_index.h)."""
    folder = f"/proc/{server.process.pid}/fd"
    found = collections.Counter()
    for each in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            what = os.readlink(f"{folder}/{each}")
            if not what.startswith(str(server.store / "rec")):
                found[what.split(":")[0].split("/")[0] or "file"] += 1
    return found


def resident_mb(server):
    with open(f"/proc/{server.process.pid}/status", encoding="ascii") as status:
        return int(re.search(r"VmRSS:\s+(\d+) kB", status.read())[1]) / 1024


def heard(near, datagram, beginning):
    """Says it until an answer comes that begins so: a datagram may be lost, on a full socket for one."""
    near.settimeout(1)
    for _ in range(20):
        near.send(datagram)
        with contextlib.suppress(TimeoutError):
            while not near.recv(2048).startswith(beginning):
                pass
            return True
    return False


class Churn:
    def __init__(self, server):
        self.server = server
        self.over = threading.Event()
        self.errors = []
        self.done = collections.Counter()
        self.seen = collections.Counter()
        self.most_at_once = 0
        self.running = 0
        self.lock = threading.Lock()

    def post(self, camera):
        reply = ask(f"{self.server.address}/whep/{camera}", "POST", offer(ufrag="abcd"), Content_Type=SDP,
                    Authorization=f"Bearer {self.server.all}")
        assert reply.status == 201, reply
        return reply

    def never_comes(self, plan):
        self.post(plan.camera)

    def ends_at_once(self, plan):
        reply = self.post(plan.camera)
        ended = ask(self.server.address + reply.headers["Location"], "DELETE", Authorization=f"Bearer {self.server.all}")
        assert ended.status == 200, ended

    def never_shakes_hands(self, plan):
        """Its checks are good, it says hello, hears the answer, and is never heard of again."""
        answer = self.post(plan.camera).text
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as near:
            near.connect(("127.0.0.1", self.server.udp))
            check = binding_request(f"{attribute(answer, 'ice-ufrag')}:abcd", attribute(answer, "ice-pwd"))
            assert heard(near, check, b"\x01\x01"), "the check is answered"
            assert heard(near, client_hello(), b"\x16"), "the handshake begins"

    def vanishes(self, plan):
        """Before or after it has its first picture; killed, so that it cannot say good-bye."""
        with Player(self.server, plan.camera, self.server.all, "-audio") as player:
            player.answered()
            self.over.wait(plan.stays)

    def leaves(self, plan, restarts=False):
        with Player(self.server, plan.camera, self.server.all, "-audio", "-srtp", "cm80" if plan.stays > 2 else "gcm128") as player:
            player.playing()
            if restarts:
                player.tell("restart")
            self.over.wait(plan.stays)
            seen = player.finish()
            assert seen["bad"] == 0 and seen["decodable"] > 0, json.dumps(seen)
            self.seen.update(frames=seen["frames"], decodable=seen["decodable"], missing=seen["missing"])

    def restarts(self, plan):
        self.leaves(plan, restarts=True)

    def run_one(self, plan):
        try:
            getattr(self, plan.kind)(plan)
            self.done[plan.kind] += 1
        except Exception as error:  # noqa: BLE001 - told at the end
            self.errors.append(f"{plan}: {type(error).__name__}: {error}")

    def run_all(self):
        began = time.monotonic()
        free = threading.Semaphore(AT_ONCE)
        threads = []

        def run(plan):
            with self.lock:
                self.running += 1
                self.most_at_once = max(self.most_at_once, self.running)
            self.run_one(plan)
            with self.lock:
                self.running -= 1
            free.release()
        for plan in plans():
            time.sleep(max(0.0, began + plan.at - time.monotonic()))
            free.acquire()
            threads = [each for each in threads if each.is_alive()] + [threading.Thread(target=run, args=[plan])]
            threads[-1].start()
        for each in threads:
            each.join()
        return time.monotonic() - began


class Restarts(threading.Thread):
    """Takes the camera away and brings it back, and sees to it that the viewer who stayed gets its pictures in the same session."""

    def __init__(self, server, viewer):
        super().__init__()
        self.server, self.viewer = server, viewer
        self.over = threading.Event()
        self.count = 0
        self.error = None

    def run(self):
        try:
            while not self.over.wait(RESTART_EACH / 2):
                self.server.restarting.stop()
                wait_until(lambda: self.server.camera("restarting")["state"] != "recording", 30, "the camera is missed")
                packets = self.viewer.told()["packets"]
                self.server.restarting.start()
                wait_until(lambda: self.viewer.told()["packets"] > packets + FPS, 60, "it plays again in the same session")
                self.count += 1
                self.over.wait(RESTART_EACH / 2)
        except Exception as error:  # noqa: BLE001 - told at the end
            self.error = error


class Memory(threading.Thread):
    """Looks at it, and at the metrics as Prometheus would, while viewers come and go."""

    def __init__(self, server):
        super().__init__()
        self.server = server
        self.over = threading.Event()
        self.samples = []

    def run(self):
        while not self.over.wait(0.5):
            self.samples.append(resident_mb(self.server))
            if len(self.samples) % 10 == 0:
                metrics(self.server)

    def between(self, begin, end):
        return statistics.median(self.samples[int(begin * len(self.samples)):int(end * len(self.samples))])


def test_nothing_is_left_of_those_who_left(server):
    before = types.SimpleNamespace()
    with Player(server, "steady", server.all, "-seconds", 1e6) as steady, \
            Player(server, "restarting", server.all, "-seconds", 1e6) as staying:
        for player in (steady, staying):
            player.playing()
        # Those who were asked with before anybody played are gone.
        before.objects = wait_until(lambda: (found := objects(server))["known_sessions"] == 2 and found, EXPIRY + 15, "two sessions")
        before.files, before.heap = open_files(server), heap_mb(server)
        churn, restarts, memory = Churn(server), Restarts(server, staying), Memory(server)
        steady.tell("mark")
        before.frames = metrics(server)["miharu_camera_frames_total"]['camera="steady"']
        restarts.start()
        memory.start()
        try:
            took = churn.run_all()
        finally:
            for each in (memory, restarts):
                each.over.set()
                each.join()
        assert not churn.errors, churn.errors
        assert restarts.error is None, restarts.error
        assert restarts.count >= max(1, SECONDS // (2 * RESTART_EACH))

        # Those who vanished are forgotten, and of those who stay there is as much as before.
        wait_until(lambda: objects(server)["sessions"] == 2, EXPIRY + 30, "only those who stayed are left")
        after = {kind: count for kind, count in objects(server).items() if kind != "units"}
        assert after == {kind: count for kind, count in before.objects.items() if kind != "units"}
        wait_until(lambda: not open_files(server) - before.files, 20, f"files are closed: {before.files}, {open_files(server)}")
        left, heap = metrics(server), heap_mb(server)
        frames = left["miharu_camera_frames_total"]['camera="steady"'] - before.frames
        seen, with_restarts = steady.finish(), staying.finish()

    settled = (EXPIRY + 10) / SECONDS
    begin, end = (memory.between(settled, settled + 0.1) if settled < 0.5 else None), memory.between(0.85, 1)
    begun = sum(left["miharu_live_sessions_total"].values())
    print(json.dumps({
        "seconds": round(took), "sessions": dict(churn.done), "most_at_once": churn.most_at_once, "restarts": restarts.count,
        "heap_mb": [round(each, 2) for each in (before.heap, heap)], "rss_mb": [begin, end, max(memory.samples)],
        "files": dict(before.files), "frames": frames,
        "steady": seen, "restarting": with_restarts, "others": dict(churn.seen),
        "first_frame_ms": round(1000 * sum(left["miharu_live_first_frame_seconds_sum"].values())
                                / sum(left["miharu_live_first_frame_seconds_count"].values()))}))
    assert begun >= SESSIONS
    assert heap - before.heap < HEAP_GROWTH_MB, (before.heap, heap)
    assert SANITIZED or begin is None or end - begin < RSS_GROWTH_MB, memory.samples

    # Every picture, never long after the one before it. The counts are not of the same moment, and the camera's is up to a second old.
    judged = seen["since_mark"]
    assert judged["decodable"] == judged["frames"] >= frames - 2 * FPS > (SECONDS - 1) * FPS / 2, json.dumps(seen)
    assert seen["missing"] == seen["bad"] == 0, json.dumps(seen)
    # A demo camera that gets no processor makes no pictures.
    assert seen["max_gap_ms"] < STALL_MS or machine_is_busy(), json.dumps(seen)

    # The pictures of a camera that nobody watches are not packetized: after its next key frame there is nothing.
    wait_until(lambda: not any(objects(server).values()), 30, "nothing is left")
