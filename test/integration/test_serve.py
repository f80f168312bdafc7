"""`miharu serve`: playback over a store by other programs, with what the store's administrator allows."""
import contextlib
import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.request

import pytest

import bucket
from harness import BINARY, CALLED_WRONGLY, COULD_NOT, DONE, Miharu, demo_url, frame_numbers, miharu, verify, wait_until


@contextlib.contextmanager
def serve(store, folder, key, env=None):
    """Gives the address."""
    out = folder / "serve.out"
    with open(out, "wb") as stdout, open(folder / "serve.log", "ab") as stderr:
        process = subprocess.Popen([BINARY, "serve", "--store", store, "--listen", "127.0.0.1:0"], stdout=stdout, stderr=stderr,
                                   env={**os.environ, "MIHARU_TOKEN_KEY_FILE": str(key), **(env or {})})

    def address():
        assert process.poll() is None, (folder / "serve.log").read_text(encoding="utf-8")
        found = re.search(r"Open (http\S+)/\n", out.read_text(encoding="utf-8"))
        return found and found[1]

    try:
        yield wait_until(address, 20, "miharu serve tells its address")
    finally:
        process.terminate()
        assert process.wait(20) == DONE


def get(url, headers=None):
    """(status, body)"""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=20) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@pytest.fixture(scope="module", name="stored")
def recording(tmp_path_factory):
    """A store of some objects, whose recorder is gone; and its data folder."""
    folder = tmp_path_factory.mktemp("serve")
    with Miharu(folder, {"demo": demo_url()}, segment="5s") as server:
        server.wait_for_objects("demo", 3, 60)
    verify(server.data)
    return server


@pytest.fixture(name="key")
def signing_key(tmp_path):
    return tmp_path / "serve.key"


def token(store, key, *arguments, env=None):
    done = miharu("token", "create", *arguments, "--store", store, env={"MIHARU_TOKEN_KEY_FILE": str(key), **(env or {})})
    assert done.returncode == DONE, done.stderr
    return done.stdout.strip()


def test_a_token_of_the_store_plays_all_that_is_recorded(stored, key, tmp_path):
    allowed = token(stored.store, key, "demo", "--rights", "playback")
    objects = stored.objects("demo")
    first, last = objects[0], objects[-1]
    with serve(stored.store, tmp_path, key) as address:
        url = f"{address}/t/{allowed}/hls/demo/vod.m3u8?from={first.start_ms}&to={last.start_ms}"
        # ffmpeg tells that each object repeats its initialization part.
        numbers = frame_numbers(url, quiet=False)
        assert numbers == [number for item in objects[:-1] for number in frame_numbers(str(item.path))]
        status, body = get(f"{address}/api/v1/cameras", {"Authorization": f"Bearer {allowed}"})
        assert status == 200
        (camera,) = json.loads(body)["cameras"]
        assert (camera["name"], camera["state"]) == ("demo", "stored")
        # The recording itself is neither changed nor locked by who serves it.
        verify(stored.data)


def test_without_credentials_or_beyond_them_nothing_is_told(stored, key, tmp_path):
    other = token(stored.store, key, "other", "--rights", "playback")
    with serve(stored.store, tmp_path, key) as address:
        for path in ("/api/v1/cameras", "/hls/demo/vod.m3u8?from=-1h", "/api/v1/cameras/demo/timeline?from=-1h",
                     f"/media/rec/demo/{stored.objects('demo')[0].path.name}"):
            assert get(address + path)[0] == 401, path
        assert get(f"{address}/t/{other}/hls/demo/vod.m3u8?from=-1h")[0] == 403
        assert json.loads(get(f"{address}/t/{other}/api/v1/cameras")[1]) == {"cameras": []}
        assert get(f"{address}/healthz")[0] == 200
        assert get(f"{address}/readyz")[0] == 200


def test_what_a_recorder_knows_opens_nothing(stored, key, tmp_path):
    of_the_recorder = stored.token()
    with serve(stored.store, tmp_path, key) as address:
        assert get(f"{address}/t/{of_the_recorder}/hls/demo/vod.m3u8?from=-1h")[0] == 401
        request = urllib.request.Request(f"{address}/api/v1/session", method="POST", headers={"Content-Type": "application/json"},
                                         data=json.dumps({"user": "admin", "password": stored.password}).encode())
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=20)
        with refused.value:
            assert refused.value.code == 401
    assert oct(key.stat().st_mode & 0o777) == "0o600"


def test_a_revoked_token_stops_within_a_minute(stored, key, tmp_path):
    allowed = token(stored.store, key, "demo", "--rights", "playback")
    with serve(stored.store, tmp_path, key) as address:
        url = f"{address}/t/{allowed}/api/v1/cameras"
        assert get(url)[0] == 200
        listed = miharu("token", "list", "--store", stored.store)
        identity = next(line.split()[0] for line in reversed(listed.stdout.splitlines()) if "valid" in line)
        assert miharu("token", "revoke", identity, "--store", stored.store).returncode == DONE
        revoked = time.monotonic()
        wait_until(lambda: get(url)[0] == 401, 60, "the token is refused")
        assert time.monotonic() - revoked < 60
        assert identity + "  revoked" in miharu("token", "list", "--store", stored.store).stdout


def test_mistakes_are_told_with_what_to_do(stored, tmp_path):
    done = miharu("serve", "--store", stored.store, "--listen", "127.0.0.1:0", env={"MIHARU_TOKEN_KEY_FILE": ""})
    assert done.returncode == CALLED_WRONGLY and "MIHARU_TOKEN_KEY_FILE" in done.stderr
    key = {"MIHARU_TOKEN_KEY_FILE": str(tmp_path / "key")}
    done = miharu("serve", "--store", tmp_path / "nothing", "--listen", "127.0.0.1:0", env=key)
    assert done.returncode == COULD_NOT and "nothing" in done.stderr
    done = miharu("serve", "--store", stored.store, "--listen", "here", env=key)
    assert done.returncode == CALLED_WRONGLY and "--listen" in done.stderr
    done = miharu("user", "remove", "nobody", "--store", stored.store)
    assert done.returncode == COULD_NOT and "there is no user nobody" in done.stderr


@pytest.fixture(scope="module", name="gateway")
def s3_server(tmp_path_factory):
    with bucket.Store(tmp_path_factory.mktemp("bucket")) as server:
        yield server


@pytest.fixture(scope="module", name="uploaded")
def objects_in_the_bucket(stored, gateway):
    """Every other object by another recorder: a replaced machine, whose cameras kept their names."""
    objects = stored.objects("demo")
    for number, item in enumerate(objects):
        key = f"r{1 + number % 2}/{item.path.relative_to(stored.store)}"
        gateway.client().upload_file(str(item.path), gateway.bucket, gateway.prefix + key)
    return objects


def keys_of(gateway, keys):
    return {**gateway.environment(keys), "AWS_ENDPOINT_URL": gateway.endpoint, "AWS_REGION": "us-east-1"}


def test_the_bucket_alone_is_enough(uploaded, gateway, key, tmp_path):
    admin = keys_of(gateway, bucket.ROOT_KEYS)
    allowed = token(gateway.url, key, "demo", "--rights", "playback", env=admin)
    first, last = uploaded[0], uploaded[-1]
    with serve(gateway.url, tmp_path, key, keys_of(gateway, bucket.READER_KEYS)) as address:
        front = f"{address}/t/{allowed}"
        status, text = get(f"{front}/hls/demo/vod.m3u8?from={first.start_ms}&to={last.start_ms}")
        assert status == 200 and b"/media/r1/rec/demo/" in text and b"/media/r2/rec/demo/" in text
        numbers = frame_numbers(f"{front}/hls/demo/vod.m3u8?from={first.start_ms}&to={last.start_ms}", quiet=False)
        assert numbers == [number for item in uploaded[:-1] for number in frame_numbers(str(item.path))]
        # Bytes of the bucket as they are: whole, and a range over the border of what is fetched at once.
        path = next(line for line in text.decode().splitlines() if line.startswith("../../media/r1/")).removeprefix("../../")
        whole = first.path.read_bytes()
        assert get(f"{front}/{path}") == (200, whole)
        assert get(f"{front}/{path}", {"Range": f"bytes=1000-{len(whole) - 2}"}) == (206, whole[1000:-1])
        assert get(f"{front}/{path}", {"Range": f"bytes={len(whole)}-"})[0] == 416
        assert get(f"{front}/{path[:-4]}")[0] == 404
        assert json.loads(get(f"{front}/api/v1/cameras/demo/timeline?from=-1h")[1])["spans"]
    # Everything was read with a key that can write nothing.
    assert not [name for name in gateway.keys() if "/rec/" not in name and not name.startswith("auth/")]


def test_users_of_a_bucket_are_made_by_who_may_write_to_it(uploaded, gateway, key, tmp_path):
    refused = miharu("user", "add", "alice", "--store", gateway.url, stdin="correct horse\n", env=keys_of(gateway, bucket.READER_KEYS))
    assert refused.returncode == COULD_NOT and "AccessDenied" in refused.stderr
    done = miharu("user", "add", "alice", "--store", gateway.url, stdin="correct horse\n", env=keys_of(gateway, bucket.ROOT_KEYS))
    assert done.returncode == DONE, done.stderr
    assert b"correct horse" not in gateway.get("auth/users.json")
    with serve(gateway.url, tmp_path, key, keys_of(gateway, bucket.READER_KEYS)) as address:
        request = urllib.request.Request(f"{address}/api/v1/session", method="POST", headers={"Content-Type": "application/json"},
                                         data=json.dumps({"user": "alice", "password": "correct horse"}).encode())
        with urllib.request.urlopen(request, timeout=20) as response:
            cookie = response.headers["Set-Cookie"]
        assert "HttpOnly" in cookie and int(re.search(r"Max-Age=(\d+)", cookie)[1]) <= 12 * 3600
        assert get(f"{address}/api/v1/cameras", {"Cookie": cookie.split(";")[0]})[0] == 200


def test_a_bucket_that_is_away_is_told(stored, key, tmp_path):
    with bucket.Store(tmp_path / "own") as own:
        item = stored.objects("demo")[0]
        own.client().upload_file(str(item.path), own.bucket, f"{own.prefix}r1/{item.path.relative_to(stored.store)}")
        allowed = token(own.url, key, "demo", "--rights", "playback", env=keys_of(own, bucket.ROOT_KEYS))
        with serve(own.url, tmp_path, key, keys_of(own, bucket.READER_KEYS)) as address:
            (camera,) = json.loads(get(f"{address}/t/{allowed}/api/v1/cameras")[1])["cameras"]
            assert camera["name"] == "demo"
            own.stop()
            status, problem = get(f"{address}/t/{allowed}/hls/demo/vod.m3u8?from=-1h")
            assert status in (502, 503) and own.endpoint.removeprefix("http://") in json.loads(problem)["detail"]
            assert get(f"{address}/healthz")[0] == 200
            own.start()
            assert get(f"{address}/t/{allowed}/hls/demo/vod.m3u8?from=-1h")[0] == 200


def counters(address, cookie):
    """What /metrics tells to whoever signed in."""
    status, text = get(f"{address}/metrics", {"Cookie": cookie})
    assert status == 200
    return {name: float(value) for name, value in re.findall(r"^(\w+) ([0-9.e+]+)$", text.decode(), re.MULTILINE)}


def test_metrics_tell_what_the_store_was_asked_for(uploaded, gateway, key, tmp_path):
    done = miharu("user", "add", "carol", "--store", gateway.url, stdin="correct horse\n", env=keys_of(gateway, bucket.ROOT_KEYS))
    assert done.returncode == DONE, done.stderr
    with serve(gateway.url, tmp_path, key, keys_of(gateway, bucket.READER_KEYS)) as address:
        assert get(f"{address}/metrics")[0] == 401
        request = urllib.request.Request(f"{address}/api/v1/session", method="POST", headers={"Content-Type": "application/json"},
                                         data=json.dumps({"user": "carol", "password": "correct horse"}).encode())
        with urllib.request.urlopen(request, timeout=20) as response:
            cookie = response.headers["Set-Cookie"].split(";")[0]
        query = f"{address}/hls/demo/vod.m3u8?from={uploaded[0].start_ms}&to={uploaded[0].start_ms + 1000}"
        before = counters(address, cookie)
        status, text = get(query, {"Cookie": cookie})
        assert status == 200
        built = counters(address, cookie)
        # The root, both recorders' cameras, and for each of them the hours.
        assert built["miharu_store_lists_total"] >= before["miharu_store_lists_total"] + 5
        assert built["miharu_playlists_built_total"] == before["miharu_playlists_built_total"] + 1
        assert get(query + "&again", {"Cookie": cookie})[0] == 200
        known = counters(address, cookie)
        assert known["miharu_store_lists_total"] == built["miharu_store_lists_total"]
        assert known["miharu_hours_from_cache_total"] > built["miharu_hours_from_cache_total"]
        # An object is as many requests as it has mebibytes: none asks whether it is there.
        path = next(line for line in text.decode().splitlines() if line.startswith("../../media/")).removeprefix("../../")
        assert get(f"{address}/{path}", {"Cookie": cookie})[1] == uploaded[0].path.read_bytes()
        size = uploaded[0].path.stat().st_size
        fetched = counters(address, cookie)
        assert fetched["miharu_store_read_bytes_total"] - known["miharu_store_read_bytes_total"] == size
        assert fetched["miharu_store_gets_total"] - known["miharu_store_gets_total"] == -(-size // (1 << 20))
        gateway.stop()
        try:
            get(f"{address}/hls/demo/vod.m3u8?from=0&to=1000", {"Cookie": cookie})
        finally:
            gateway.start()
        assert counters(address, cookie)["miharu_store_errors_total"] > fetched["miharu_store_errors_total"]


def test_presigned_addresses_need_no_server(uploaded, gateway, key, tmp_path):
    allowed = token(gateway.url, key, "demo", "--rights", "playback", env=keys_of(gateway, bucket.ROOT_KEYS))
    first, last = uploaded[0], uploaded[-1]
    reader = {**keys_of(gateway, bucket.READER_KEYS), "MIHARU_DELIVERY": "presigned"}
    with serve(gateway.url, tmp_path, key, reader) as address:
        url = f"{address}/t/{allowed}/hls/demo/vod.m3u8?from={first.start_ms}&to={last.start_ms}"
        text = get(url)[1].decode()
        media = [line for line in text.splitlines() if line and not line.startswith("#")]
        assert media and all(line.startswith(gateway.endpoint) for line in media)
        assert frame_numbers(url, quiet=False) == [number for item in uploaded[:-1] for number in frame_numbers(str(item.path))]
        status, problem = get(f"{address}/t/{allowed}/media/r1/rec/demo/{first.path.name}")
        assert status == 501 and "bucket" in json.loads(problem)["detail"]
    refused = miharu("serve", "--store", gateway.url, "--listen", "127.0.0.1:0",
                     env={**reader, "AWS_SESSION_TOKEN": "of-a-role", "MIHARU_TOKEN_KEY_FILE": str(key)})
    assert refused.returncode == CALLED_WRONGLY and "MIHARU_PRESIGN_ACCESS_KEY_ID" in refused.stderr
