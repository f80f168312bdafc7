"""The Lambda function: the program that is uploaded, in AWS's emulator, over a bucket of a real S3 server."""
import base64
import hashlib
import json
import re
import subprocess
import time
import urllib.error
import urllib.request

import botocore.signers
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

import bucket
from harness import DONE, Miharu, demo_url, frame_numbers, miharu, wait_until
from lambda_shim import BOOTSTRAP, KEY_ID, Function, Shim, SigningKey, event_of

TOKEN_KEY = base64.urlsafe_b64encode(bytes(range(32))).decode().rstrip("=")
PASSWORD = "correct horse"

pytestmark = pytest.mark.skipif(not BOOTSTRAP.exists(), reason="./dev lambda makes the program")


def keys_of(gateway, keys):
    return {**gateway.environment(keys), "AWS_ENDPOINT_URL": gateway.endpoint, "AWS_REGION": "us-east-1"}


@pytest.fixture(scope="module", name="gateway")
def s3_server(tmp_path_factory):
    with bucket.Store(tmp_path_factory.mktemp("bucket")) as server:
        yield server


@pytest.fixture(scope="module", name="uploaded")
def recording(tmp_path_factory, gateway):
    """A recording in the bucket, by two recorders in turn; a user, and the page."""
    folder = tmp_path_factory.mktemp("recorder")
    with Miharu(folder, {"demo": demo_url()}, segment="5s") as server:
        server.wait_for_objects("demo", 4, 60)
    objects = server.objects("demo")
    for number, item in enumerate(objects):
        key = f"r{1 + number % 2}/{item.path.relative_to(server.store)}"
        gateway.client().upload_file(str(item.path), gateway.bucket, gateway.prefix + key)
    admin = keys_of(gateway, bucket.ROOT_KEYS)
    done = miharu("user", "add", "alice", "--store", gateway.url, stdin=PASSWORD + "\n", env=admin)
    assert done.returncode == DONE, done.stderr
    done = miharu("publish", "--store", gateway.url, env=admin)
    assert done.returncode == DONE, done.stderr
    return objects


@pytest.fixture(scope="module", name="cdn_key")
def key_of_the_cdn():
    return SigningKey()


def environment(gateway, **more):
    """Of the function, which has the reader's key."""
    return {**keys_of(gateway, bucket.READER_KEYS), "MIHARU_STORE": gateway.url, "MIHARU_TOKEN_KEY": TOKEN_KEY, **more}


@pytest.fixture(scope="module", name="cdn")
def behind_a_cdn(tmp_path_factory, gateway, uploaded, cdn_key):
    with Function(tmp_path_factory.mktemp("cdn"), environment(gateway, MIHARU_CDN_KEY_ID=KEY_ID, MIHARU_CDN_KEY=cdn_key.pem)) as function:
        with Shim(function, gateway, bucket.READER_KEYS, cdn_key) as shim:
            yield shim


@pytest.fixture(name="token")
def token_of_the_store(gateway, uploaded, tmp_path):
    """Makes tokens as the store's administrator does."""
    def make(*arguments):
        key = tmp_path / "key"
        key.write_text(TOKEN_KEY + "\n", encoding="utf-8")
        key.chmod(0o600)
        done = miharu("token", "create", *map(str, arguments), "--store", gateway.url,
                      env={**keys_of(gateway, bucket.ROOT_KEYS), "MIHARU_TOKEN_KEY_FILE": str(key)})
        assert done.returncode == DONE, done.stderr
        return done.stdout.strip()
    return make


def get(url, headers=None, data=None):
    """(status, headers, body)"""
    request = urllib.request.Request(url, headers=headers or {}, data=data)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def all_frames(objects):
    return [number for item in objects for number in frame_numbers(str(item.path))]


def vod(address, objects, more=""):
    return f"{address}/hls/demo/vod.m3u8?from={objects[0].start_ms}&to={objects[-1].start_ms}{more}"


def sign_in(address):
    """The session as a Cookie field."""
    body = json.dumps({"user": "alice", "password": PASSWORD}).encode()
    fields = {"Content-Type": "application/json", "x-amz-content-sha256": hashlib.sha256(body).hexdigest()}
    status, headers, _ = get(f"{address}/api/v1/session", fields, body)
    assert status == 204
    assert "Secure" in headers["Set-Cookie"] and "HttpOnly" in headers["Set-Cookie"]
    return headers["Set-Cookie"].split(";")[0]


def test_a_program_of_its_own(uploaded):
    """Static, so that it runs wherever Linux does: in a folder with nothing else in it."""
    assert BOOTSTRAP.stat().st_size <= 7_000_000
    shown = subprocess.run(["readelf", "--program-headers", BOOTSTRAP], capture_output=True, text=True, check=True).stdout
    assert "INTERP" not in shown
    done = subprocess.run([BOOTSTRAP], capture_output=True, text=True, check=False, env={}, timeout=20)
    assert done.returncode == 2 and "AWS_LAMBDA_RUNTIME_API" in done.stderr


def test_a_token_in_the_path_plays_by_signed_addresses(cdn, uploaded, token):
    """As an external player does, which keeps no cookies."""
    front = f"{cdn.address}/t/{token('demo', '--rights', 'playback')}"
    assert frame_numbers(vod(front, uploaded), quiet=False) == all_frames(uploaded[:-1])
    # No byte of media went through the function.
    assert not [target for _, target in cdn.requests if "/media/" in target]


def test_a_token_of_an_interval_opens_no_other_object(cdn, uploaded, token, cdn_key):
    inside = uploaded[1]
    allowed = token("demo", "--rights", "playback", "--from", inside.start_ms + 1000, "--to", inside.start_ms + 2000)
    status, _, text = get(vod(f"{cdn.address}/t/{allowed}", uploaded))
    assert status == 200
    urls = {line for line in text.decode().splitlines() if line.startswith("/media/")}
    (url,) = urls
    assert inside.path.name in url
    assert get(cdn.address + url, {"Range": "bytes=0-99"})[0] == 206
    query = url.partition("?")[2]
    for other in uploaded:
        for relay in ("r1", "r2"):
            status = get(f"{cdn.address}/media/{relay}/{other.path.relative_to(other.path.parents[6])}?{query}")[0]
            assert (status == 200) == (other is inside and f"/media/{relay}/" in url), (relay, other.path.name, status)


def test_cookies_of_a_session_open_the_cameras_media(cdn, uploaded, cdn_key):
    session = sign_in(cdn.address)
    status, headers, text = get(vod(cdn.address, uploaded), {"Cookie": session})
    assert status == 200
    media = next(line for line in text.decode().splitlines() if line.startswith("../../media/")).removeprefix("../..")
    assert "?" not in media
    cookies = headers.get_all("Set-Cookie")
    # A set of three on the path of each recorder that has the camera.
    paths = {re.search(r"Path=([^;]+)", each)[1] for each in cookies}
    assert paths == {"/media/r1/rec/demo/", "/media/r2/rec/demo/"} and len(cookies) == 6
    for each in cookies:
        assert "Secure" in each and "HttpOnly" in each and int(re.search(r"Max-Age=(\d+)", each)[1]) <= 12 * 3600
    ours = "; ".join(each.split(";")[0] for each in cookies if f"Path={media[:media.index('/demo/') + 6]}" in each)
    assert get(cdn.address + media, {"Cookie": ours})[2] == uploaded[0].path.read_bytes()
    assert get(cdn.address + media, {"Cookie": ours, "Range": "bytes=5-9"})[:1] == (206,)
    assert get(cdn.address + media)[0] == 403
    assert get(cdn.address + media, {"Cookie": ours.replace("Signature=", "Signature=A")})[0] == 403
    other = media.replace("/r1/", "/r2/") if "/r1/" in media else media.replace("/r2/", "/r1/")
    assert get(cdn.address + other, {"Cookie": ours})[0] == 403
    # The same as AWS's own library signs.
    grant = dict(each.split("=", 1) for each in ours.split("; "))
    policy = base64.b64decode(grant["CloudFront-Policy"].replace("-", "+").replace("_", "=").replace("~", "/")).decode()
    statement = json.loads(policy)["Statement"][0]
    signer = botocore.signers.CloudFrontSigner(KEY_ID, lambda text: cdn_key.private.sign(text, padding.PKCS1v15(), hashes.SHA1()))
    theirs = signer.generate_presigned_url("https://x/", policy=policy)
    assert f"Signature={grant['CloudFront-Signature']}" in theirs and f"Policy={grant['CloudFront-Policy']}" in theirs
    assert statement["Condition"]["DateLessThan"]["AWS:EpochTime"] <= time.time() + 12 * 3600


def test_the_page_is_the_buckets(cdn, gateway, uploaded):
    status, headers, body = get(cdn.address + "/")
    assert status == 200 and headers["Content-Type"] == "text/html; charset=utf-8" and headers["Cache-Control"] == "no-cache"
    scripts = re.findall(rb'(?:src|href)="\./(assets/[^"]+)"', body)
    assert scripts
    for script in scripts:
        status, headers, body = get(f"{cdn.address}/{script.decode()}")
        assert status == 200 and body and "immutable" in headers["Cache-Control"]
        assert re.match(r"text/(javascript|css)", headers["Content-Type"])
    # A relay's or a reader's key publishes nothing.
    done = miharu("publish", "--store", gateway.url, env=keys_of(gateway, bucket.READER_KEYS))
    assert done.returncode != DONE and "administrator" in done.stderr


def test_errors_are_answers_and_the_next_event_is_served(cdn, uploaded):
    function = cdn.function
    assert function.invoke({"version": "1.0", "path": "/"})["statusCode"] == 400
    assert function.invoke("[1, 2]")["statusCode"] == 400
    assert function.invoke(event_of("GET", "/media/../auth/users.json", [], b"", "x"))["statusCode"] == 400
    assert function.invoke(event_of("GET", "/nothing", [], b"", "x"))["statusCode"] == 404
    assert function.invoke(event_of("POST", "/api/v1/session", [], b"x" * 70_000, "x"))["statusCode"] == 413
    assert function.invoke(event_of("GET", "/api/v1/cameras", [], b"", "x"))["statusCode"] == 401
    assert function.invoke(event_of("GET", "/api/v1/cameras", [("X-Miharu-Token", "m1.no.token")], b"", "x"))["statusCode"] == 401
    assert function.invoke(event_of("GET", "/healthz", [], b"", "x"))["body"] == "alive\n"


def test_what_a_function_cannot_do_is_told_with_the_way(cdn, uploaded):
    cookie = {"Cookie": sign_in(cdn.address)}
    for path, told in (("/hls/demo/live.m3u8", "miharu run"), ("/api/v1/cameras/demo/export.mp4?from=0&to=1", "miharu export"),
                       ("/api/v1/events", "timeline"), ("/api/v1/cost", "miharu cost"), ("/api/v1/users", "miharu user"), ("/metrics", "CloudWatch")):
        status, headers, body = get(cdn.address + path, cookie)
        assert status == 501 and headers["Content-Type"] == "application/problem+json", path
        assert told in json.loads(body)["detail"], path
    allowed = cdn.function.invoke(event_of("GET", f"/media/r1/rec/demo/x", [("Cookie", cookie["Cookie"])], b"", "x"))
    assert allowed["statusCode"] == 501 and "CDN" in json.loads(allowed["body"])["detail"]


def test_presigned_addresses_come_from_the_bucket(gateway, uploaded, token, tmp_path):
    env = environment(gateway, MIHARU_DELIVERY="presigned")
    with Function(tmp_path, env) as function, Shim(function) as shim:
        front = f"{shim.address}/t/{token('demo', '--rights', 'playback')}"
        status, headers, text = get(vod(front, uploaded), {"Accept-Encoding": "identity"})
        assert status == 200 and not headers.get_all("Set-Cookie")
        urls = [line for line in text.decode().splitlines() if line.startswith("http")]
        assert urls and all(url.startswith(gateway.endpoint) for url in urls)
        assert all(int(re.search(r"X-Amz-Expires=(\d+)", url)[1]) <= 12 * 3600 for url in urls)
        assert frame_numbers(vod(front, uploaded), quiet=False) == all_frames(uploaded[:-1])
        assert get(urls[0].replace("X-Amz-Expires=", "X-Amz-Expires=1"))[0] == 403
        # A list of a day at most; and the page of the function may fetch from there.
        assert get(f"{front}/hls/demo/vod.m3u8?from=-25h")[0] == 400
        assert gateway.endpoint in get(shim.address + "/")[1]["Content-Security-Policy"]


def test_through_the_function_what_is_small_enough(gateway, uploaded, token, tmp_path):
    """Where there is neither a CDN nor a lasting key; and the page comes from the bucket through the function as well."""
    with Function(tmp_path, environment(gateway, MIHARU_DELIVERY="proxied")) as function, Shim(function) as shim:
        front = f"{shim.address}/t/{token('demo', '--rights', 'playback')}"
        assert frame_numbers(vod(front, uploaded), quiet=False) == all_frames(uploaded[:-1])
        status, headers, body = get(shim.address + "/", {"Accept-Encoding": "gzip"})
        assert status == 200 and headers["Content-Encoding"] == "gzip" and len(body) < 5000
        assert get(shim.address + "/no-such-page")[0] == 404


@pytest.mark.parametrize("env, told", [
    ({"MIHARU_TOKEN_KEY": ""}, "MIHARU_TOKEN_KEY"),
    ({"MIHARU_TOKEN_KEY": "short"}, "MIHARU_TOKEN_KEY"),
    ({"MIHARU_STORE": ""}, "MIHARU_STORE"),
    ({"MIHARU_DELIVERY": "pigeon"}, "pigeon"),
    ({"MIHARU_DELIVERY": "cdn"}, "MIHARU_CDN_KEY_ID"),
    ({"MIHARU_DELIVERY": "presigned", "AWS_SESSION_TOKEN": "of-a-role"}, "MIHARU_PRESIGN_ACCESS_KEY_ID"),
])
def test_wrong_settings_are_told_to_lambda(gateway, uploaded, tmp_path, env, told):
    with Function(tmp_path, {**environment(gateway, MIHARU_DELIVERY="proxied"), **env}) as function:
        answer = function.invoke(event_of("GET", "/healthz", [], b"", "x"), status=502)
        assert answer["errorType"] == "Miharu.Settings" and told in answer["errorMessage"], answer
        wait_until(lambda: told in function.log(), 10, "the log says so too")


def test_a_store_that_is_away_is_told_and_tried_again(uploaded, token, tmp_path, gateway):
    with bucket.Store(tmp_path / "own") as own:
        env = environment(own, MIHARU_DELIVERY="proxied")
        with Function(tmp_path, env) as function, Shim(function) as shim:
            own.stop()
            assert get(shim.address + "/readyz")[0] == 503
            own.start()
            assert get(shim.address + "/readyz")[0] == 200
