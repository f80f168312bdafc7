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

from harness import BINARY, CALLED_WRONGLY, COULD_NOT, DONE, Miharu, demo_url, frame_numbers, miharu, verify, wait_until


@contextlib.contextmanager
def serve(store, folder, key):
    """Gives the address."""
    out = folder / "serve.out"
    with open(out, "wb") as stdout, open(folder / "serve.log", "ab") as stderr:
        process = subprocess.Popen([BINARY, "serve", "--store", store, "--listen", "127.0.0.1:0"], stdout=stdout, stderr=stderr,
                                   env={**os.environ, "MIHARU_TOKEN_KEY_FILE": str(key)})

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


def token(stored, key, *arguments):
    done = miharu("token", "create", *arguments, "--store", stored.store, env={"MIHARU_TOKEN_KEY_FILE": str(key)})
    assert done.returncode == DONE, done.stderr
    return done.stdout.strip()


def test_a_token_of_the_store_plays_all_that_is_recorded(stored, key, tmp_path):
    allowed = token(stored, key, "demo", "--rights", "playback")
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
    other = token(stored, key, "other", "--rights", "playback")
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
    allowed = token(stored, key, "demo", "--rights", "playback")
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
