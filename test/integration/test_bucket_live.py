"""Live through the bucket, on a real S3 server: `miharu run` uploads while somebody asks `miharu serve` for it, and not else."""
import contextlib
import json
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request

import pytest

import bucket
from bucket import Store, refused
from cameras import GStreamerCamera
from faulty_proxy import FaultyProxy
from frame_number import seconds_of
from harness import DONE, Miharu, demo_url, distance, frame_numbers, machine_is_busy, miharu, pictures_of, wait_until
from test_serve import get, serve, token

FPS = 12
# A wish holds 22 s, the recorder looks each 2 s, and a piece may be on its way.
MOST_AFTER_THE_LAST = 30


def keys_of(store, keys):
    return {**store.environment(keys), "AWS_ENDPOINT_URL": store.endpoint, "AWS_REGION": "us-east-1"}


def post(url, headers=None):
    """(status, JSON)"""
    request = urllib.request.Request(url, method="POST", headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


class Viewer:
    """Asks each ten seconds, as the page does, until it is told to stop."""

    def __init__(self, address, token, camera="front"):
        self.address, self.token, self.camera = address, token, camera
        self.ended = threading.Event()
        self.last = None
        self.playlist = self.ask()
        self.thread = threading.Thread(target=self.repeat)
        self.thread.start()

    def ask(self):
        self.last = time.time()
        status, answer = post(f"{self.address}/api/v1/cameras/{self.camera}/live", {"Authorization": f"Bearer {self.token}"})
        assert status == 200, answer
        assert answer["again_ms"] == 10_000
        return f"{self.address}/t/{self.token}/{answer['playlist']}"

    def repeat(self):
        while not self.ended.wait(10):
            assert self.ask() == self.playlist

    def text(self):
        status, text = get(self.playlist)
        return text.decode() if status == 200 else ""

    def wait_for_pictures(self, seconds):
        return wait_until(lambda: "#EXTINF" in self.text() and self.text(), seconds, "the playlist has pictures")

    def stop(self):
        self.ended.set()
        self.thread.join()
        return self.last

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Place:
    """A bucket, a recorder behind a proxy that counts, and one who serves."""

    def __init__(self, store, proxy, relay, address, token, start_serve):
        self.store, self.proxy, self.relay, self.address, self.token = store, proxy, relay, address, token
        self.start_serve = start_serve

    def looks(self):
        return [each for each in self.proxy.requests() if "/control/" in each["target"] and each["kind"] == "get"]

    def uploaded(self):
        return [key for key in self.store.keys("r1/live/") if "/test/" not in key]

    def last_put(self):
        found = self.store.client().list_objects_v2(Bucket=self.store.bucket, Prefix=self.store.prefix + "r1/live/")
        return max((each["LastModified"].timestamp() for each in found.get("Contents", [])), default=0)


def recorded_numbers(relay, camera):
    return [picture.number for item in relay.objects(camera)[-8:] for picture in pictures_of(item)]


def make_relay(folder, store, proxy, **more):
    return Miharu(folder, {"front": demo_url(FPS), "yard": demo_url(FPS, audio=False)}, segment="5s",
                  more=store.config(endpoint=proxy.endpoint, **more), env={"HOME": str(folder), **store.environment()})


@pytest.fixture(scope="module", name="place")
def everything(tmp_path_factory):
    folder = tmp_path_factory.mktemp("live")
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(Store(tmp_path_factory.mktemp("store")))
        proxy = stack.enter_context(FaultyProxy(store.port))
        relay = stack.enter_context(make_relay(folder, store, proxy))
        key = folder / "serve.key"
        done = miharu("token", "create", "front", "yard", "--rights", "live,playback", "--store", store.url,
                      env={"MIHARU_TOKEN_KEY_FILE": str(key), **keys_of(store, bucket.ROOT_KEYS)})
        assert done.returncode == DONE, done.stderr
        wait_until(lambda: len(store.keys("r1/rec/front/")) and len(store.keys("r1/rec/yard/")), 40, "objects are in the bucket")

        def start_serve(name):
            (folder / name).mkdir()
            return serve(store.url, folder / name, key, keys_of(store, bucket.READER_KEYS))
        address = stack.enter_context(start_serve("serve"))
        yield Place(store, proxy, relay, address, done.stdout.strip(), start_serve)


def test_nothing_is_uploaded_while_nobody_watches(place):
    place.looks()
    wait_until(lambda: len(place.uploaded()) == 0 and place.relay.camera("front")["state"] == "recording", 20, "it records")
    # What there is not is asked for each ten seconds; what did not change is not sent again.
    place.store.client().put_object(Bucket=place.store.bucket, Key=place.store.prefix + "control/r1/wanted.json", Body=b"{}")
    seen = []
    wait_until(lambda: seen.extend(place.looks()) or [each["status"] for each in seen[-2:]] == [304, 304], 45, "304")
    moments = [each["at"] for each in seen]
    gaps = [after - before for before, after in zip(moments, moments[1:])]
    assert min(gaps) > 8, gaps
    assert not place.uploaded()


def test_who_watches_gets_what_the_camera_sends(place):
    with Viewer(place.address, place.token) as viewer:
        text = viewer.wait_for_pictures(20)
        assert text.startswith("#EXTM3U") and "#EXT-X-MAP:URI=\"init_" in text and "ENDLIST" not in text
        began = time.time()
        # Another program plays it: each picture, and none twice.
        numbers = frame_numbers(viewer.playlist, options=["-live_start_index", "0", "-t", "12"], quiet=False)
        assert len(numbers) > 5 * FPS
        # It was of now, and not of what is in the recording.
        age = time.time() - seconds_of(numbers[-1], FPS)
        assert age < 10 or machine_is_busy(), age
        assert seconds_of(numbers[-1], FPS) > began
        # The other camera is not asked for.
        assert all(key.startswith("r1/live/front/") for key in place.uploaded())
        # Parts are kept by who reads them, the playlist is not; nothing is listed for it.
        piece = text.strip().splitlines()[-1]
        with urllib.request.urlopen(viewer.playlist.replace("live.m3u8", piece), timeout=20) as response:
            assert "immutable" in response.headers["Cache-Control"] and response.headers["Content-Type"] == "video/mp4"
        with urllib.request.urlopen(viewer.playlist, timeout=20) as response:
            assert response.headers["Cache-Control"] == "no-cache"
        assert not [each for each in place.proxy.requests() if each["kind"] == "list"]
    # Each picture that was recorded meanwhile, and none twice.
    recorded = wait_until(lambda: (known := recorded_numbers(place.relay, "front")) and numbers[-1] in known and known, 20, "it is recorded")
    at = recorded.index(numbers[0])
    assert numbers == recorded[at:at + len(numbers)]
    last = viewer.last
    wait_until(lambda: "#EXT-X-ENDLIST" in viewer.text(), MOST_AFTER_THE_LAST + 5, "the playlist ends")
    ended = time.time()
    count = len(place.uploaded())
    # The recorder still looks often, and uploads nothing more.
    seen = place.looks()
    wait_until(lambda: seen.extend(place.looks()) or len(seen) >= 3, 10, "it looks")
    assert len(place.uploaded()) == count
    assert place.last_put() - last <= MOST_AFTER_THE_LAST, (place.last_put() - last, ended - last)


def metrics(server, camera="front"):
    """{name without miharu_bucket_live_: value}, of what is counted by camera that of one; and failures of all reasons."""
    text = server.request("/metrics")[2].decode()
    found = {}
    for name, labels, value in re.findall(r"^miharu_bucket_live_(\w+?)(?:\{(.*)\})? (\S+)$", text, re.MULTILINE):
        if labels in ("", f'camera="{camera}"') or name == "failures_total":
            found[name] = found.get(name, 0) + float(value)
    return found


def test_metrics_tell_of_it(place):
    before = metrics(place.relay)
    assert before["sessions"] == 0 and "piece_age_seconds" not in before
    pieces = before["pieces_total"]
    with Viewer(place.address, place.token) as viewer:
        viewer.wait_for_pictures(20)
        wait_until(lambda: metrics(place.relay)["pieces_total"] >= pieces + 8, 20, "pieces are counted")
        told = metrics(place.relay)
        assert told["sessions"] == 1 and told["sessions_total"] == before["sessions_total"] + 1
        assert told["looks_total"] > before["looks_total"] and told["bytes_total"] > before["bytes_total"]
        # The line is cut: the age goes up, and so do failures; and down again with the next piece.
        place.proxy.cut("refuse")
        failed = wait_until(lambda: (now := metrics(place.relay)) and now["piece_age_seconds"] > 3 and now, 20, "the age goes up")
        assert failed.get("failures_total", 0) > told.get("failures_total", 0)
        place.proxy.restore()
        wait_until(lambda: metrics(place.relay)["piece_age_seconds"] < 2, 30, "the age is of the last piece")
    wait_until(lambda: metrics(place.relay)["sessions"] == 0, MOST_AFTER_THE_LAST + 10, "nobody watches")
    after = metrics(place.relay)
    assert "piece_age_seconds" not in after
    # What is there was counted, but for pieces whose answer nobody waited for: at the cut, and when viewers left.
    there = [size for key, size in place.store.keys("r1/live/").items()
             if key.endswith(".mp4") and "/init_" not in key and "/test/" not in key]
    assert 0 <= len(there) - after["pieces_total"] <= 3, (len(there), after)
    assert 0 <= sum(there) - after["bytes_total"] <= 3 * max(there), (sum(there), after)


def test_two_viewers_at_two_servers_and_one_stops(place):
    with place.start_serve("serve-2") as other:
        with Viewer(place.address, place.token) as first:
            first.wait_for_pictures(20)
            with Viewer(other, place.token) as second:
                # The same pictures, wherever one asks.
                assert second.playlist.split("/media/")[1] == first.playlist.split("/media/")[1]
                assert second.text()
            stopped = time.time()
            # The one that stopped would have ended it by now.
            wait_until(lambda: time.time() > stopped + 26, 30, "time passes")
            text = first.text()
            assert "ENDLIST" not in text
            number = int(text.split("MEDIA-SEQUENCE:")[1].splitlines()[0])
            wait_until(lambda: int(first.text().split("MEDIA-SEQUENCE:")[1].splitlines()[0]) > number, 10, "it goes on")


def test_a_recorder_that_is_killed_goes_on_in_the_same_playlist(place):
    with Viewer(place.address, place.token, "yard") as viewer:
        viewer.wait_for_pictures(20)
        place.relay.kill()
        before = viewer.text()
        place.relay.start()

        def first_number(text):
            return int(text.split("MEDIA-SEQUENCE:")[1].splitlines()[0])
        # Not the first change: what the dead one had sent may be on its way into the store still.
        after = wait_until(lambda: (text := viewer.text()) and first_number(text) != first_number(before) and "#EXTINF" in text and text,
                           30, "pictures of the new run")
        assert first_number(after) > first_number(before) + before.count("#EXTINF") - 1, (before, after)
        assert not set(re.findall(r"init_(\w+)\.mp4", after)) & set(re.findall(r"init_(\w+)\.mp4", before))
        numbers = frame_numbers(viewer.playlist, options=["-live_start_index", "0", "-t", "4"], quiet=False)
        assert numbers and all(distance(one, next_one) > 0 for one, next_one in zip(numbers, numbers[1:]))


def test_rights(place):
    url = f"{place.address}/api/v1/cameras/front/live"
    assert post(url)[0] == 401

    def token(*arguments):
        done = miharu("token", "create", *arguments, "--store", place.store.url,
                      env={"MIHARU_TOKEN_KEY_FILE": str(place.relay.folder / "serve.key"), **keys_of(place.store, bucket.ROOT_KEYS)})
        assert done.returncode == DONE, done.stderr
        return done.stdout.strip()
    # Recordings alone, and another camera alone.
    for other in (token("front", "--rights", "playback"), token("yard", "--rights", "live")):
        assert post(url, {"Authorization": f"Bearer {other}"})[0] == 403
    viewer = Viewer(place.address, place.token)
    with viewer:
        viewer.wait_for_pictures(20)
        theirs = viewer.playlist.replace(f"/t/{place.token}/", f"/t/{token('front', '--rights', 'playback')}/")
        assert get(theirs)[0] == 403
        assert get(viewer.playlist.replace(f"/t/{place.token}/", "/"))[0] == 401
    status, told = post(f"{place.address}/api/v1/cameras/nobody/live", {"Authorization": f"Bearer {token('*', '--rights', 'live')}"})
    assert status == 404, told
    # Whose key may not write wishes says what it needs.
    place.store.client().put_bucket_policy(Bucket=place.store.bucket, Policy=without_wishes(place.store))
    try:
        # The wish before it is fresh for a while, and needs no writing.
        wait_until(lambda: post(url, {"Authorization": f"Bearer {place.token}"})[0] == 503, 30, "it is refused")
        status, told = post(url, {"Authorization": f"Bearer {place.token}"})
        assert status == 503 and "s3:PutObject of control/*/wanted.json" in told["detail"], told
    finally:
        place.store.client().put_bucket_policy(Bucket=place.store.bucket,
                                               Policy=bucket.policy(place.store.bucket, place.store.prefix, place.store.relay))


def without_wishes(store):
    whole = json.loads(bucket.policy(store.bucket, store.prefix, store.relay))
    whole["Statement"] = [each for each in whole["Statement"]
                          if not (each["Principal"]["AWS"] == [bucket.READER_KEYS[0]] and "s3:PutObject" in each["Action"])]
    return json.dumps(whole)


def test_the_recorders_key_is_good_for_nothing_else(place):
    mine = place.store.client(bucket.RELAY_KEYS)
    name, prefix = place.store.bucket, place.store.prefix
    some = place.uploaded()[0]
    for call in (lambda: mine.get_object(Bucket=name, Key=prefix + some),
                 lambda: mine.list_objects_v2(Bucket=name, Prefix=prefix + "r1/live/"),
                 lambda: mine.delete_object(Bucket=name, Key=prefix + some),
                 lambda: mine.put_object(Bucket=name, Key=prefix + "control/r1/wanted.json", Body=b"{}"),
                 lambda: mine.get_object(Bucket=name, Key=prefix + "control/r2/wanted.json"),
                 lambda: mine.put_object(Bucket=name, Key=prefix + "r2/live/front/s1/live.m3u8", Body=b"")):
        assert refused(call) == "AccessDenied"
    # And the server's: wishes alone.
    served = place.store.client(bucket.READER_KEYS)
    for key in ("r1/live/front/s1/live.m3u8", "control/r1/other.json", "auth/users.json"):
        assert refused(lambda key=key: served.put_object(Bucket=name, Key=prefix + key, Body=b"{}")) == "AccessDenied"


def test_live_may_be_switched_off(tmp_path, place):
    folder = tmp_path / "off"
    folder.mkdir()
    with FaultyProxy(place.store.port) as proxy, \
            Miharu(folder, {"front": demo_url(FPS)}, segment="5s", env={"HOME": str(folder), **place.store.environment()},
                   more=place.store.config(endpoint=proxy.endpoint, relay="r1") + "live = false\n") as server:
        server.wait_for_objects("front", 3, 40)
        looks = [each for each in proxy.requests() if "/control/" in each["target"]]
        assert len(looks) <= 2, looks  # to compare the clocks


def test_live_is_switched_in_the_running_program(tmp_path, place):
    folder = tmp_path / "switched"
    folder.mkdir()
    # A recorder of its own, whom nobody else asks.
    with FaultyProxy(place.store.port) as proxy, \
            Miharu(folder, {"side": demo_url(FPS)}, segment="5s", env={"HOME": str(folder), **place.store.environment(bucket.ROOT_KEYS)},
                   more=place.store.config(endpoint=proxy.endpoint, relay="r3") + "live = false\n") as server:
        def switch(before, after):
            text = server.config.read_text(encoding="utf-8")
            assert f"live = {before}\n" in text
            server.config.write_text(text.replace(f"live = {before}\n", f"live = {after}\n"), encoding="utf-8")
            server.process.send_signal(signal.SIGHUP)

        server.wait_for_objects("side", 2, 40)
        wait_until(lambda: place.store.keys("r3/rec/side/"), 10, "an object is in the bucket")
        key = place.relay.folder / "serve.key"
        allowed = token(place.store.url, key, "side", "--rights", "live,playback", env=keys_of(place.store, bucket.ROOT_KEYS))
        (tmp_path / "serve").mkdir()
        with serve(place.store.url, tmp_path / "serve", key, keys_of(place.store, bucket.ROOT_KEYS)) as address, \
                Viewer(address, allowed, "side") as viewer:
            server.wait_for_objects("side", len(server.objects("side")) + 3, 40)
            assert not place.store.keys("r3/live/")
            switch("false", "true")
            viewer.wait_for_pictures(20)
            assert metrics(server, "side")["sessions"] == 1
            switch("true", "false")
            wait_until(lambda: metrics(server, "side")["sessions"] == 0, 10, "nothing is uploaded any more")
            count = len(place.store.keys("r3/live/"))
            server.wait_for_objects("side", len(server.objects("side")) + 2, 40)
            assert len(place.store.keys("r3/live/")) <= count + 2  # what was on its way
            switch("false", "true")
            wait_until(lambda: len(place.store.keys("r3/live/")) > count + 4, 20, "it goes on")


def pieces_of(text):
    """[(initialization part, name)] of a playlist, and "break" where pieces do not go on."""
    all_, init = [], None
    for line in text.splitlines():
        if line.startswith("#EXT-X-MAP:"):
            init = re.search(r'URI="(.+)"', line)[1]
        elif line == "#EXT-X-DISCONTINUITY":
            all_.append("break")
        elif not line.startswith("#"):
            all_.append((init, line))
    return all_


def shown(store, folder, init, name):
    """What ffprobe says of one piece: {kind: width}, of sound 0."""
    client = store.client()
    both = b"".join(client.get_object(Bucket=store.bucket, Key=store.prefix + folder + each)["Body"].read() for each in (init, name))
    out = subprocess.run(["ffprobe", "-v", "error", "-count_packets", "-show_entries", "stream=codec_type,width,nb_read_packets", "-of", "json", "-"],
                         input=both, capture_output=True, check=True).stdout
    streams = json.loads(out)["streams"]
    assert all(int(each["nb_read_packets"]) > 0 for each in streams), streams
    return {each["codec_type"]: each.get("width", 0) for each in streams}


def test_the_smaller_stream_is_sent_until_it_dies(tmp_path, place):
    """Two RTSP servers: 384x240 is recorded, 160x120 is sent where that is wanted; pulled while somebody watches, and not else."""
    folder = tmp_path / "two"
    folder.mkdir()
    with GStreamerCamera() as main, GStreamerCamera() as small, \
            Miharu(folder, {"both": f'url = "{main.url("/aac")}"\nsub_url = "{small.url("/small")}"'}, segment="5s",
                   env={"HOME": str(folder), **place.store.environment(bucket.ROOT_KEYS)},
                   more=place.store.config(relay="r4", live_stream="main")) as server:
        wait_until(lambda: place.store.keys("r4/rec/both/"), 30, "an object is in the bucket")
        key = place.relay.folder / "serve.key"
        allowed = token(place.store.url, key, "both", "--rights", "live,playback", env=keys_of(place.store, bucket.ROOT_KEYS))
        (tmp_path / "serve").mkdir()
        with serve(place.store.url, tmp_path / "serve", key, keys_of(place.store, bucket.READER_KEYS)) as address, \
                Viewer(address, allowed, "both") as viewer:
            live = "r4/live" + viewer.playlist.split("/r4/live")[1].replace("live.m3u8", "")
            viewer.wait_for_pictures(20)

            def newest(width):
                """The playlist, once its last piece is as wide."""
                def look():
                    now = pieces_of(viewer.text())
                    return now and shown(place.store, live, *now[-1]) == {"video": width, "audio": 0} and now
                return wait_until(look, 25, f"pictures of {width}")

            newest(384)
            assert "pulling the smaller stream" not in (folder / "stdout-0").read_text(encoding="utf-8")
            server.config.write_text(server.config.read_text(encoding="utf-8").replace('live_stream = "main"\n', ""), encoding="utf-8")
            server.process.send_signal(signal.SIGHUP)
            sub = newest(160)[-1][0]
            small.stop()
            sent = newest(384)
            last = max(place for place, each in enumerate(sent) if each[0] == sub)
            assert sent[last + 1] == "break"
