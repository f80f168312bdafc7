"""What goes wrong around uploading without a bad line: machines that are mistaken for one another, that are replaced, that forget,
and that do not know the time. The timeline of `miharu serve` over the bucket is right each time."""
import calendar
import contextlib
import json
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
import urllib.parse

import pytest

import bucket
from bucket import Store
from faulty_proxy import FaultyProxy
from harness import ROOT, Miharu, demo_url, distance, frame_numbers, unix_ms, wait_until
from test_serve import get, keys_of, serve, token

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from camera.recording import chunks_of  # noqa: E402

FPS = 12


def relay(folder, store, name="r1", camera="front", more="", env=None, **config):
    return Miharu(folder, {camera: demo_url(fps=FPS)}, more=more + store.config(**{"relay": name, **config}),
                  env={"HOME": str(folder), **store.environment(bucket.ROOT_KEYS), **(env or {})})


def drained(server):
    camera = server.api("/cameras")["cameras"][0]
    return camera["uploads"]["pending_objects"] == 0 and camera["safe_until_ms"] is not None


def moment(key):
    return calendar.timegm(time.strptime(key.rsplit("/", 1)[1][:15], "%Y%m%dT%H%M%S"))


def local(server):
    return {str(path.relative_to(server.store)): path.read_bytes() for path in server.store.glob("rec/*/*/*/*/*/*")}


@contextlib.contextmanager
def played(store, folder, camera="front"):
    """`miharu serve` over the bucket. Gives a function: path below the API or HLS -> body."""
    key = folder / "serve.key"
    admin = keys_of(store, bucket.ROOT_KEYS)
    allowed = token(store.url, key, camera, "--rights", "playback", env=admin)
    with serve(store.url, folder, key, keys_of(store, bucket.READER_KEYS)) as address:
        def ask(path):
            status, body = get(f"{address}/t/{allowed}{path}")
            assert status == 200, (path, status, body)
            return body
        ask.front = f"{address}/t/{allowed}"
        yield ask


def assert_one_timeline(ask, start_ms, end_ms, camera="front"):
    """Time goes on only, in the playlist and in the timeline; gives the pictures' numbers."""
    path = f"/hls/{camera}/vod.m3u8?from={start_ms}&to={end_ms}"
    text = ask(path).decode()
    dates = [unix_ms(each) for each in re.findall(r"EXT-X-PROGRAM-DATE-TIME:(\S+)", text)]
    assert dates and all(a < b for a, b in zip(dates, dates[1:])), text
    spans = json.loads(ask(f"/api/v1/cameras/{camera}/timeline?from={start_ms}&to={end_ms}"))["spans"]
    for before, after in zip(spans, spans[1:]):
        assert unix_ms(before["end"]) <= unix_ms(after["start"]) + 2, (before, after)
    numbers = frame_numbers(ask.front + path, quiet=False)
    assert all(distance(a, b) > 0 for a, b in zip(numbers, numbers[1:])), "pictures come twice, or go back"
    return numbers


@pytest.mark.parametrize("how", ["new", "copied"])
def test_two_machines_of_one_name_are_one_timeline(how, tmp_path, tmp_path_factory):
    with Store(tmp_path_factory.mktemp("store")) as store:
        folders = [tmp_path / "a", tmp_path / "b"]
        folders[0].mkdir()
        begin = time.time()
        first = relay(folders[0], store)
        if how == "copied":
            # A disk image: the second machine takes itself for the first.
            with first:
                first.wait_for_objects("front", 1, 30)
            shutil.copytree(folders[0], folders[1])
        else:
            folders[1].mkdir()
        second = relay(folders[1], store)
        second.password = first.password
        with first, second:
            # While both record, while the one is away, and both again.
            copied = len(second.objects("front"))
            second.wait_for_objects("front", copied + 2, 40)
            first.stop()
            second.wait_for_objects("front", copied + 4, 40)
            first.start()
            first.wait_for_objects("front", len(first.objects("front")) + 2, 60)
            for each in (first, second):
                wait_until(lambda server=each: drained(server), 20, "nothing waits")
            assert first.api("/cameras")["uploads"]["state"] == "uploading"
        end = time.time()
        # Neither has harmed what the other put there.
        there = {key.removeprefix("r1/"): store.get(key) for key in store.keys("r1/rec/")}
        here = {**local(first), **local(second)}
        assert set(there) <= set(here)
        assert all(here[key] == data for key, data in there.items())
        with played(store, tmp_path) as ask:
            numbers = assert_one_timeline(ask, int(begin * 1000), int(end * 1000))
            # Where objects overlap the one that began first is played, of two that began together the longer, and nothing
            # else is left out.
            spans = []
            for key in there:
                chunks = chunks_of(key.rsplit("/", 1)[1])
                spans.append((chunks[0].start, -chunks[-1].end, key))
            expected, until = [], 0
            for start, end, key in sorted(spans):
                if start < until - 0.0025 or -end <= begin:
                    continue
                until = -end
                (tmp_path / "object.mp4").write_bytes(there[key])
                expected += frame_numbers(str(tmp_path / "object.mp4"))
            assert len(expected) > 10 * FPS
            assert numbers == expected


def test_a_replaced_machine_goes_on_with_the_timeline(tmp_path, tmp_path_factory):
    with Store(tmp_path_factory.mktemp("store")) as store:
        begin = time.time()
        counts = []
        for name in ("r1", "r2"):
            (tmp_path / name).mkdir()
            with relay(tmp_path / name, store, name) as server:
                server.wait_for_objects("front", 2, 30)
                wait_until(lambda: drained(server), 20, "nothing waits")
            counts.append(len(store.keys(f"{name}/rec/front/")))
            time.sleep(3)  # a time of which nothing is recorded: a gap
        with played(store, tmp_path) as ask:
            numbers = assert_one_timeline(ask, int(begin * 1000), int(time.time() * 1000))
            objects = [store.get(key) for name in ("r1", "r2") for key in sorted(store.keys(f"{name}/rec/front/"))]
            expected = []
            for data in objects:
                (tmp_path / "object.mp4").write_bytes(data)
                expected += frame_numbers(str(tmp_path / "object.mp4"))
            assert numbers == expected and min(counts) >= 2
            timeline = json.loads(ask("/api/v1/cameras/front/timeline?from=-1h"))
            assert len(timeline["spans"]) >= 2 and timeline["gaps"]


def test_a_lost_database_changes_nothing_in_the_bucket(tmp_path, tmp_path_factory):
    with Store(tmp_path_factory.mktemp("store")) as store, FaultyProxy(store.port) as proxy:
        store.client().put_bucket_versioning(Bucket=store.bucket, VersioningConfiguration={"Status": "Enabled"})
        begin = time.time()
        with relay(tmp_path, store, endpoint=proxy.endpoint) as server:
            server.wait_for_objects("front", 3, 40)
            wait_until(lambda: drained(server), 20, "nothing waits")
        known = {key.removeprefix("r1/") for key in store.keys("r1/rec/")}
        for path in server.data.glob("miharu.db*"):
            path.unlink()
        server.password = None
        proxy.requests()
        with server.start():
            wait_until(lambda: drained(server), 20, "nothing waits")
            server.wait_for_objects("front", 5, 30)
            wait_until(lambda: drained(server), 20, "nothing waits")
        puts = [each for each in proxy.requests() if each["kind"] == "put"]
        again = [each for each in puts if urllib.parse.unquote(each["target"]).split("/r1/", 1)[1] in known]
        assert len(again) == len(known)
        # This server wants the body before it says 412; others say it first, and are sent none.
        assert {(each["expects"], each["status"]) for each in again} == {(True, 412)}
        versions = store.client().list_object_versions(Bucket=store.bucket, Prefix=f"{store.prefix}r1/")["Versions"]
        assert len(versions) == len({each["Key"] for each in versions}) == len(store.keys("r1/"))
        with played(store, tmp_path) as ask:
            numbers = assert_one_timeline(ask, int(begin * 1000), int(time.time() * 1000))
            assert len(numbers) >= 4 * 5 * FPS


class WrongClock:
    """The wall clock of programs that are started with env()."""

    def __init__(self, folder):
        self.library, self.file = folder / "wrong_clock.so", folder / "clock"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", self.library, ROOT / "test/integration/wrong_clock.c", "-ldl"], check=True)
        self.set(0, True)

    def set(self, seconds, synchronised):
        with open(self.file, "r+b" if self.file.exists() else "w+b") as file:
            file.write(struct.pack("qq", seconds * 1_000_000_000, synchronised))

    def env(self):
        return {"LD_PRELOAD": str(self.library), "WRONG_CLOCK": str(self.file)}


DAY = 24 * 3600


def test_nothing_is_uploaded_under_a_wrong_clock(tmp_path, tmp_path_factory):
    clock = WrongClock(tmp_path)
    with Store(tmp_path_factory.mktemp("store")) as store:
        begin = time.time()
        # As a machine without a battery for its clock comes up.
        clock.set(-40 * DAY, False)
        with relay(tmp_path, store, env=clock.env()) as server:
            server.wait_for_objects("front", 2, 40)
            told = wait_until(lambda: (about := server.api("/cameras")["uploads"])["state"] == "clock" and about, 20, "the clock is told")
            assert "clock" in told["error"]
            status, _, body = server.request("/readyz")
            assert status == 503 and b"clock" in body
            assert all(begin - 41 * DAY < moment(key) < begin - 39 * DAY for key in local(server))
            assert not store.keys()
            # It is set right: what was recorded gets its right name, and then it is uploaded.
            clock.set(0, True)
            wait_until(lambda: store.keys("r1/rec/"), 60, "objects come into the bucket")
            # Somebody sets it to tomorrow.
            server.wait_for_objects("front", 4, 30)
            clock.set(DAY, False)
            server.opener = None  # sessions have ended, and so did the cookie
            wait_until(lambda: server.api("/cameras")["uploads"]["state"] == "clock", 40, "the clock is told again")
            wait_until(lambda: sum(moment(key) > begin + DAY / 2 for key in local(server)) >= 2, 40, "tomorrow is recorded")
            clock.set(0, True)
            server.opener = None
            server.wait_for_objects("front", 7, 40)
            wait_until(lambda: drained(server), 60, "nothing waits")
            wait_until(lambda: not any(moment(key) > begin + DAY / 2 for key in local(server)), 30, "nothing lies in tomorrow")
            wait_until(lambda: drained(server), 30, "nothing waits")
            end = time.time()
            there = store.keys("r1/rec/")
            assert all(begin - 10 < moment(key.removeprefix("r1/")) < end + 1 for key in there), sorted(there)
            here = local(server)
            wait_until(lambda: set(here) <= {key.removeprefix("r1/") for key in store.keys("r1/rec/")}, 20, "all of it is there")
        with played(store, tmp_path) as ask:
            for day in (-41, -40, -1, 1):
                at = int((begin + day * DAY) * 1000)
                spans = json.loads(ask(f"/api/v1/cameras/front/timeline?from={at - 3600_000}&to={at + 3600_000}"))["spans"]
                assert not spans, (day, spans)
            text = ask(f"/hls/front/vod.m3u8?from={int(begin * 1000)}&to={int(end * 1000)}").decode()
            dates = [unix_ms(each) for each in re.findall(r"EXT-X-PROGRAM-DATE-TIME:(\S+)", text)]
            assert dates == sorted(dates)
            covered = sum(float(each) for each in re.findall(r"#EXTINF:([0-9.]+)", text))
            assert covered > 0.7 * (end - begin), f"{covered} s of {end - begin} are played\n{text}"


def test_what_a_camera_that_is_gone_recorded_is_put_right_and_uploaded(tmp_path, tmp_path_factory):
    clock = WrongClock(tmp_path)
    with Store(tmp_path_factory.mktemp("store")) as store:
        begin = time.time()
        clock.set(-40 * DAY, False)
        with relay(tmp_path, store, env=clock.env()) as server:
            server.wait_for_objects("front", 2, 40)
            server.config.write_text(re.sub(r"(?s)\[\[camera\]\].*", "", server.config.read_text()))
            server.process.send_signal(signal.SIGHUP)
            wait_until(lambda: not server.api("/cameras")["cameras"], 20, "the camera is gone")
            here = local(server)
            assert here and all(moment(key) < begin - 39 * DAY for key in here) and not store.keys()
            clock.set(0, True)
            wait_until(lambda: len(store.keys("r1/rec/front/")) == len(here), 60, "all of it comes into the bucket")
            assert all(begin - 10 < moment(key) < time.time() for key in local(server))
