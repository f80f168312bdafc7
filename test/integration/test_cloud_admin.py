"""What is done to a bucket by people: `prune` and `delete` with the administrator's key, `ls`, `verify` and `export` with a reader's.
On a real S3 server that keeps versions, looked at by boto3."""
import http.server
import json
import os
import shutil
import sqlite3
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from datetime import datetime, timedelta, timezone

import pytest

import players
from bucket import READER_KEYS, RELAY_KEYS, ROOT_KEYS, Store
from harness import CALLED_WRONGLY, COULD_NOT, DONE, FOUND_WRONG, Miharu, demo_url, frame_numbers, miharu, packets, pictures_of, verify, wait_until
from test_serve import get, serve


@pytest.fixture(scope="module", name="recorded")
def recording(tmp_path_factory):
    """A recorder's folder with some objects of two cameras; it runs no more."""
    with Miharu(tmp_path_factory.mktemp("recorded"), {"front": demo_url(), "yard": demo_url(fps=6, audio=False)}, segment="5s") as server:
        server.wait_for_objects("front", 4, 60)
        server.wait_for_objects("yard", 4, 60)
    return server


@pytest.fixture(name="store")
def s3_server(tmp_path):
    with Store(tmp_path / "server") as running:
        running.client().put_bucket_versioning(Bucket=running.bucket, VersioningConfiguration={"Status": "Enabled"})
        yield running


def env(store, keys):
    return {**store.environment(keys), "AWS_ENDPOINT_URL": store.endpoint, "AWS_REGION": "us-east-1"}


def put(store, key, body=b"x"):
    store.client().put_object(Bucket=store.bucket, Key=store.prefix + key, Body=body)


def versions(store, below=""):
    """{key: number of versions, delete markers among them}."""
    count = {}
    for page in store.client().get_paginator("list_object_versions").paginate(Bucket=store.bucket, Prefix=store.prefix + below):
        for each in page.get("Versions", []) + page.get("DeleteMarkers", []):
            name = each["Key"][len(store.prefix):]
            count[name] = count.get(name, 0) + 1
    return count


def upload(store, recorded, relay="r1", camera="front"):
    """Gives the keys."""
    keys = []
    for item in recorded.objects(camera):
        keys.append(f"{relay}/{item.path.relative_to(recorded.store)}")
        store.client().upload_file(str(item.path), store.bucket, store.prefix + keys[-1])
    return keys


def aged(item, ago, relay="r1", camera="front"):
    """The key that the object would have if it had been recorded so long ago."""
    start = datetime.now(timezone.utc) - ago
    stamp = start.strftime("%Y%m%dT%H%M%S.") + f"{start.microsecond // 1000:03}Z"
    return f"{relay}/rec/{camera}/{start:%Y/%m/%d/%H}/{stamp}_{item.path.name.split('_', 1)[1]}"


def prune(store, *arguments, keys=ROOT_KEYS, url=None):
    done = miharu("prune", "--store", url or store.url, "--json", *arguments, env=env(store, keys))
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_prune_takes_all_versions_of_what_is_too_old(store, recorded):
    items = recorded.objects("front")
    old = [aged(items[n % 4], timedelta(days=40, minutes=n)) for n in range(1100)]
    old[2] = aged(items[2], timedelta(days=30, seconds=60))
    at_the_border = [aged(items[0], timedelta(days=30, minutes=-15)), aged(items[1], timedelta(hours=1))]
    kept_longer = aged(items[0], timedelta(days=40), camera="gate")
    second = aged(items[0], timedelta(days=31), relay="r2")
    other = ["r1/rec/front/2020/01/01/00/notes.txt", "app/index.html", "auth/users.json", "control/r1/wanted.json"]
    # Quicker than 1100 requests: the server takes files for objects.
    for key in old:
        path = store.folder / "data" / store.bucket / (store.prefix + key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    for key in [*at_the_border, kept_longer, second, *other]:
        put(store, key)
    put(store, old[0], b"again")  # a second version
    store.client().delete_object(Bucket=store.bucket, Key=store.prefix + old[1])  # and a marker over another one
    before = versions(store)
    assert before[old[0]] == 2 and before[old[1]] == 2

    status, lines, errors = prune(store, "--keep", "30d", "--keep", "gate=90d", "--dry-run")
    assert status == DONE, errors
    assert lines[-1] == {"type": "summary", "objects": 1100, "versions": 1103, "bytes": lines[-1]["bytes"], "unreadable": 1, "dry_run": True}
    assert versions(store) == before

    status, lines, errors = prune(store, "--keep", "30d", "--keep", "gate=90d")
    assert status == DONE, errors
    assert lines[-1]["objects"] == 1100 and lines[-1]["versions"] == 1103
    by_camera = {(line["relay"], line.get("camera")): line["objects"] for line in lines[:-1]}
    assert by_camera == {("r1", "front"): 1099, ("r2", "front"): 1}
    assert set(versions(store)) == {*at_the_border, kept_longer, *other}
    assert prune(store, "--keep", "30d")[1][-1]["objects"] == 1  # the gate's
    assert versions(store)["r1/rec/front/2020/01/01/00/notes.txt"] == 1


def make_old(store, age):
    """All versions that are there, as the store tells their age."""
    then = time.time() - age.total_seconds()
    for part in ("data", "versions"):
        for path in (store.folder / part).rglob("*"):
            if path.is_file():
                os.utime(path, (then, then))


@pytest.mark.parametrize("prefix", ["", "home/"])
def test_prune_leaves_what_others_have_in_the_bucket(tmp_path, recorded, prefix):
    with Store(tmp_path / "shared", prefix=prefix) as store:
        store.client().put_bucket_versioning(Bucket=store.bucket, VersioningConfiguration={"Status": "Enabled"})
        foreign = ["website/live/index.html", "website/live/front/s1/live.m3u8", "control/plans/budget.ods", "control/r9/wanted.json",
                   "shop/rec/Big Sale/photo.jpg", "shop/live/front/s1/live.m3u8", "r1/live/notes.txt", "r1/live/front/s1/holiday.mp4",
                   "r1/live/front/s1/init_new.mp4", "r1/live/front/S1/live.m3u8", "r1/live/test/1/other.bin", "control/r1/notes.txt"]
        # Of r3 no recording is left.
        kept = [aged(recorded.objects("front")[0], timedelta(hours=1)), "control/r1/wanted.json", "control/r3/wanted.json"]
        live = ["live.m3u8", "init_1fr.mp4", "1fr_2b_0.mp4", "1fr_2b_11.ts"]
        ours = [*(f"r1/live/front/s0123456789abcdef/{name}" for name in live), "r1/live/test/1795287600123/first.bin"]
        left = [f"r3/live/yard/s0123456789abcdef/{name}" for name in live]
        for _ in range(2):
            for key in [*foreign, *kept, *ours, *left]:
                put(store, key)
        before = versions(store)
        make_old(store, timedelta(hours=30))
        status, lines, errors = prune(store, "--keep", "30d")
        assert status == DONE, errors
        assert {(line["type"], line.get("relay"), line["versions"]) for line in lines} == {
            ("live", "r1", 2 * len(ours)), ("control", "r1", 1), ("live", "r3", 2 * len(left)), ("control", "r3", 1),
            ("summary", None, 2 * len(ours + left) + 2)}
        assert versions(store) == {key: count - (key in kept[1:]) for key, count in before.items() if key not in ours + left}


def test_prune_says_what_it_needs(store, recorded, folder):
    item = recorded.objects("front")[0]
    put(store, aged(item, timedelta(days=40)))
    for arguments, told in (((), "--keep 30d"), (("--keep", "30"), "CAMERA=90d"), (("--keep", "a b=3d"), "--keep"), (("--keep", "0d"), "--keep")):
        status, _, errors = prune(store, *arguments)
        assert status == CALLED_WRONGLY and told in errors, arguments
    status, _, errors = prune(store, "--keep", "30d", url=str(folder))
    assert status == CALLED_WRONGLY and "s3://" in errors
    status, _, errors = prune(store, "--keep", "30d", keys=READER_KEYS)
    assert status == COULD_NOT and "AccessDenied" in errors
    assert len(versions(store)) == 1
    # The bucket and the times of the configuration, and never the recorder's own key.
    (folder / "keys").write_text("aws_access_key_id = nobody\naws_secret_access_key = nothing\n", encoding="utf-8")
    (folder / "keys").chmod(0o600)
    (folder / "m.toml").write_text(store.config(keep="60d", credentials_file=folder / "keys")
                                   + '[[camera]]\nname = "front"\nurl = "demo:"\ncloud_keep = "30d"\n', encoding="utf-8")
    done = miharu("prune", "--config", folder / "m.toml", env=store.environment(ROOT_KEYS))
    assert done.returncode == DONE and "1 objects in 1 versions" in done.stdout, done.stderr
    assert not versions(store)


def test_prune_deletes_nothing_by_a_wrong_clock(folder):
    """A server whose clock is an hour before ours, or ours an hour behind: nobody can tell."""
    asked = []

    class OneRelay(http.server.BaseHTTPRequestHandler):
        def date_time_string(self, timestamp=None):
            return super().date_time_string(time.time() + 3600)

        def log_message(self, *_):
            pass

        def do_GET(self):  # pylint: disable=invalid-name
            asked.append(self.path)
            body = b"<ListBucketResult><CommonPrefixes><Prefix>r1/</Prefix></CommonPrefixes></ListBucketResult>"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), OneRelay) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = miharu("prune", "--store", "s3://footage", "--keep", "30d", "--config", empty(folder),
                      env={"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}"})
        server.shutdown()
    assert done.returncode == COULD_NOT and "do not agree within 60 s" in done.stderr, done.stderr
    assert len(asked) == 1


def empty(folder):
    (folder / "empty.toml").write_text("", encoding="utf-8")
    return folder / "empty.toml"


def test_ls_verify_and_export_read_a_bucket(store, recorded, folder):
    keys = upload(store, recorded)
    upload(store, recorded, relay="r2", camera="yard")
    reader = env(store, READER_KEYS)
    items = recorded.objects("front")

    def ls(*arguments):
        done = miharu("ls", *arguments, "--store", store.url, "--json", data=folder, env=reader)
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr

    status, lines, errors = ls("front")
    assert status == DONE, errors
    spans = [line for line in lines if line["type"] == "span"]
    assert {span["where"] for span in spans} == {"uploaded"}
    assert sum(span["bytes"] for span in spans) == sum(item.path.stat().st_size for item in items)
    status, _, errors = ls("nobody")
    assert status == COULD_NOT and "front" in errors and "yard" in errors and store.url in errors

    def check(*arguments):
        done = miharu("verify", *arguments, "--store", store.url, "--json", data=folder, env=reader)
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr

    status, lines, errors = check()
    local = verify(recorded.data)
    assert status == DONE and {**local} == lines[-1], errors
    status, _, errors = check("--repair")
    assert status == CALLED_WRONGLY and "never changed" in errors
    # One byte of one, and one that is missing.
    body = bytearray(store.get(keys[0]))
    body[len(body) // 2] ^= 1
    put(store, keys[0], bytes(body))
    store.client().delete_object(Bucket=store.bucket, Key=store.prefix + keys[2])
    status, lines, _ = check("front")
    assert status == FOUND_WRONG
    assert {line["key"] for line in lines[:-1]} == {keys[0], keys[3]}
    assert any("missing" in line["text"] for line in lines) and any("checksum" in line["text"] for line in lines)

    # From the second half of the second object into the third.
    put(store, keys[0], items[0].path.read_bytes())
    store.client().upload_file(str(items[2].path), store.bucket, store.prefix + keys[2])
    start, end = items[1].start_ms + 2500, items[2].start_ms + 1500
    for where, out in ((recorded.store, "local.mp4"), (store.url, "cloud.mp4")):
        done = miharu("export", "front", "--from", start, "--to", end, "-o", folder / out, "--store", where, env=reader)
        assert done.returncode == DONE, done.stderr
    assert (folder / "local.mp4").read_bytes() == (folder / "cloud.mp4").read_bytes()
    shown = [pts for pts, _, _ in packets(folder / "cloud.mp4")[0] if pts >= 0]
    inside = [each for item in items for each in pictures_of(item) if start <= each.time * 1000 < end]
    assert len(shown) == len(inside) > 12
    assert [path.name for path in folder.iterdir() if path.suffix == ".part"] == []


def test_an_object_fetched_by_hand_plays_on_its_own(store, recorded, public_folder):
    key = upload(store, recorded)[1]
    item = public_folder / "fetched.mp4"
    store.client(READER_KEYS).download_file(store.bucket, store.prefix + key, str(item))
    item.chmod(0o644)
    numbers = frame_numbers(item)
    assert numbers == frame_numbers(recorded.objects("front")[1].path) and len(numbers) > 12
    counts = players.vlc(str(item))
    # Re-muxing, VLC leaves out what it has not finished at the end.
    assert len(numbers) - 3 <= counts["h264"] <= len(numbers) and counts["aac"] > 100


def sign_in(address, user, password):
    """The status."""
    request = urllib.request.Request(f"{address}/api/v1/session", method="POST", headers={"Content-Type": "application/json"},
                                     data=json.dumps({"user": user, "password": password}).encode())
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def every_text_of(path):
    """Whole files and their words, with and without quotes."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return set()
    return {text.strip()} | {word.strip("\"',") for word in text.split()}


def test_nothing_that_a_recorder_has_is_accepted_by_the_cloud(store, folder):
    """Its tokens, sessions, passwords, keys of the bucket, and every word in its files."""
    key = folder / "serve.key"
    with Miharu(folder, {"front": demo_url()}, segment="5s", more=store.config(), env=store.environment(RELAY_KEYS)) as server:
        server.wait_for_objects("front", 1, 60)
        wait_until(lambda: store.keys("r1/rec/"), 30, "an object is uploaded")
        server.camera("front")  # signs in
        (jar,) = [each.cookiejar for each in server.opener.handlers if hasattr(each, "cookiejar")]
        (session,) = [each.value for each in jar]
        known = {session, server.token(), server.password, *RELAY_KEYS}
        for path in [server.config, *(each for each in server.data.iterdir() if each.is_file())]:
            known |= every_text_of(path)
        with sqlite3.connect(f"file:{server.data}/miharu.db?mode=ro", uri=True) as database:
            for table in ("users", "sessions", "tokens"):
                known |= {str(value) for row in database.execute(f"SELECT * FROM {table}") for value in row}
    known = {each for each in known if each and each.isprintable() and "\n" not in each and len(each) < 2000}
    assert (server.data / "token.key").read_text(encoding="ascii").strip() in known and len(known) > 20
    alice = miharu("user", "add", "alice", "--store", store.url, stdin="correct horse\n", env=env(store, ROOT_KEYS))
    assert alice.returncode == DONE, alice.stderr
    with serve(store.url, folder, key, env(store, READER_KEYS)) as address:
        # What would be accepted: the same ways with credentials of the cloud.
        made = miharu("token", "create", "*", "--rights", "playback", "--store", store.url,
                      env={**env(store, ROOT_KEYS), "MIHARU_TOKEN_KEY_FILE": str(key)})
        assert made.returncode == DONE, made.stderr
        right = made.stdout.strip()
        assert get(f"{address}/t/{right}/api/v1/cameras")[0] == 200
        assert get(f"{address}/api/v1/cameras", {"Cookie": f"miharu_session={right}"})[0] == 200
        for each in known:
            header = each.encode("utf-8").decode("latin-1")
            assert get(f"{address}/api/v1/cameras", {"Authorization": f"Bearer {header}"})[0] in (400, 401), each
            assert get(f"{address}/t/{urllib.parse.quote(each, safe='')}/api/v1/cameras")[0] in (400, 401, 404), each
            assert get(f"{address}/api/v1/cameras", {"Cookie": f"miharu_session={header}"})[0] in (400, 401), each
        # Users of the recorder are not those of the cloud. (Few: guessing is slowed down.)
        for user, password in (("admin", server.password), ("alice", server.password), ("alice", RELAY_KEYS[1])):
            assert sign_in(address, user, password) in (401, 429), user
        assert sign_in(address, "alice", "correct horse") in (204, 429)
        assert not [each for each in known if key.read_text(encoding="ascii").strip() in each]


def delete(store, folder, *arguments, camera="front", keys=ROOT_KEYS, stdin=""):
    return miharu("delete", camera, *arguments, "--config", folder / "miharu.toml", data=folder / "data", env=store.environment(keys),
                  stdin=stdin)


def test_delete_takes_an_interval_out_of_both_places_for_good(store, folder):
    with Miharu(folder, {"front": demo_url()}, segment="5s", more=store.config(), env=store.environment(RELAY_KEYS)) as server:
        server.wait_for_objects("front", 4, 60)
        wait_until(lambda: len(store.keys("r1/rec/")) >= 4, 30, "four objects are uploaded")
        done = delete(store, folder, "--from", "-1h", "--to", "now", "--yes")
        assert done.returncode == COULD_NOT and "miharu is recording to this store" in done.stderr
    items = server.objects("front")
    wanted = items[1]
    put(store, f"r1/{wanted.path.relative_to(server.store)}", wanted.path.read_bytes())  # a second version
    put(store, "r1/live/front/s1/1fr_1a_0.mp4")
    put(store, "r1/live/yard/s1/1fr_1a_0.mp4")
    # A machine that was replaced had the same camera.
    put(store, f"r0/{wanted.path.relative_to(server.store)}")
    others = {key for key in versions(store) if wanted.path.name not in key and "/live/front/" not in key}
    interval = ("--from", wanted.start_ms + 1000, "--to", wanted.start_ms + 2000)

    done = delete(store, folder, *interval, "--dry-run")
    assert done.returncode == DONE and "1 objects" in done.stdout and wanted.path.exists()
    done = delete(store, folder, *interval, stdin="no\n")
    assert done.returncode == COULD_NOT and "cannot be undone" in done.stderr and wanted.path.exists()
    done = delete(store, folder, *interval, "--yes", keys=READER_KEYS)
    assert done.returncode == COULD_NOT and wanted.path.exists()

    done = delete(store, folder, *interval, "--reason", "a neighbour asked", stdin="yes\n")
    assert done.returncode == DONE, done.stderr
    assert not wanted.path.exists()
    # What the CDN's edges hold is another matter.
    assert "aws cloudfront create-invalidation" in done.stdout
    assert done.stdout.rstrip().endswith("--paths '/media/r0/rec/front/*' '/media/r1/rec/front/*' '/media/r1/live/front/*'")
    left = versions(store)
    audit = {key for key in left if key.startswith("auth/audit/")}
    assert set(left) - audit == others
    line = json.loads((folder / "data/audit.log").read_text(encoding="utf-8").splitlines()[-1])
    assert line["reason"] == "a neighbour asked" and line["camera"] == "front" and line["by"] and line["local_objects"] == 1
    assert line["bucket_versions"] == 4
    assert json.loads(store.get(max(audit))) == line

    # The recorder knows why there is a gap, counts nothing as lost, and uploads nothing of it again; not even without its database.
    done = delete(store, folder, *interval, "--yes")
    assert done.returncode == COULD_NOT and "nothing of camera front is there" in done.stderr
    with sqlite3.connect(folder / "data/miharu.db") as database:
        assert database.execute("SELECT count(*) FROM uploads_gone").fetchone() == (0,)
        assert database.execute("SELECT count(*) FROM uploads WHERE start_ms = ?", (wanted.start_ms,)).fetchone() == (0,)
    for lose in (False, True):
        if lose:
            for name in ("miharu.db", "miharu.db-wal", "miharu.db-shm"):
                (folder / "data" / name).unlink(missing_ok=True)
            server.password = None
        with server.start():
            count = len(store.keys("r1/rec/"))
            wait_until(lambda count=count: len(store.keys("r1/rec/")) >= count + 2, 60, "more is uploaded")
            if not lose:
                gaps = [gap for gap in server.timeline("front")["gaps"] if gap["reason"] == "operator" and "deleted by" in gap["text"]]
                assert len(gaps) == 1 and "a neighbour asked" in gaps[0]["text"]
        assert not [key for key in store.keys() if wanted.path.name in key]
    status = miharu("verify", data=folder / "data")
    assert status.returncode == FOUND_WRONG and "are missing" in status.stdout  # which it says of what was deleted


def test_a_deletion_that_fails_in_the_bucket_explains_its_gap(store, recorded, folder):
    data = folder / "data"
    shutil.copytree(recorded.data, data)
    upload(store, recorded)
    (folder / "miharu.toml").write_text(store.config(), encoding="utf-8")
    # Somebody who may list and put, but not delete.
    bucket_arn = f"arn:aws:s3:::{store.bucket}"
    store.client().put_bucket_policy(Bucket=store.bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": [READER_KEYS[0]]}, "Action": ["s3:GetObject", "s3:PutObject"], "Resource": [bucket_arn + "/*"]},
        {"Effect": "Allow", "Principal": {"AWS": [READER_KEYS[0]]}, "Action": ["s3:ListBucket", "s3:ListBucketVersions"],
         "Resource": [bucket_arn]}]}))
    item = recorded.objects("front")[1]
    here = data / item.path.relative_to(recorded.data)
    arguments = ("--from", item.start_ms, "--to", item.start_ms + 1, "--yes", "--reason", "a neighbour asked")
    done = delete(store, folder, *arguments, keys=READER_KEYS)
    assert done.returncode == COULD_NOT and "could not be deleted" in done.stderr, done.stderr
    assert not here.exists() and len(store.keys("r1/rec/")) == len(recorded.objects("front"))

    def explained():
        with sqlite3.connect(data / "miharu.db") as database:
            return [row for row in database.execute("SELECT * FROM gaps") if any("a neighbour asked" in str(value) for value in row)]
    assert len(explained()) == 1
    done = delete(store, folder, *arguments)
    assert done.returncode == DONE, done.stderr
    assert len(store.keys("r1/rec/")) == len(recorded.objects("front")) - 1 and len(explained()) == 1


def test_delete_in_one_place(store, recorded, folder):
    upload(store, recorded)
    (folder / "miharu.toml").write_text(store.config(), encoding="utf-8")
    item = recorded.objects("front")[0]
    interval = ("--from", item.start_ms, "--to", item.start_ms + 1)
    done = delete(store, folder, *interval, "--yes", "--only", "bucket", "--json")
    assert done.returncode == DONE, done.stderr
    told = json.loads(done.stdout)
    assert (told["bucket_versions"], told["local_objects"]) == (1, 0) and item.path.exists()
    assert len(store.keys("r1/rec/")) == len(recorded.objects("front")) - 1


def test_cameras_that_were_added_on_the_page_are_kept_as_they_say(store, recorded, folder):
    (folder / "data").mkdir()
    (folder / "data/cameras.toml").write_text('[[camera]]\nname = "front"\nurl = "demo:"\ncloud_keep = "90d"\n', encoding="utf-8")
    (folder / "m.toml").write_text(store.config(keep="30d") + '[[camera]]\nname = "yard"\nurl = "demo:"\n', encoding="utf-8")
    items = recorded.objects("front")
    for camera in ("front", "yard"):
        put(store, aged(items[0], timedelta(days=40), camera=camera))
    where = ("--config", folder / "m.toml")
    done = miharu("prune", *where, data=folder / "data", env=store.environment(ROOT_KEYS))
    assert done.returncode == DONE and [key.split("/")[2] for key in versions(store)] == ["front"], done.stderr
    done = miharu("cost", "--json", *where, data=folder / "data")
    assert {each["camera"]: each["keep_days"] for each in json.loads(done.stdout)["cameras"]} == {"front": 90, "yard": 30}, done.stderr
    done = miharu("cloud", "policy", *where, data=folder / "data")
    rules = json.loads(done.stdout)["LifecycleConfiguration"]["Rules"]
    days = {rule["Filter"]["Prefix"]: rule["Expiration"]["Days"] for rule in rules if "/rec/" in rule["Filter"]["Prefix"]}
    assert days == {"home/r1/rec/front/": 90, "home/r1/rec/yard/": 30}
    done = miharu("cloud", "init", "--yes", "--print-only", "--out", folder / "out", *where, data=folder / "data", env={"HOME": str(folder)})
    assert done.returncode == DONE, done.stderr
    rules = json.loads((folder / "out/lifecycle.json").read_text(encoding="utf-8"))["Rules"]
    assert days == {rule["Filter"]["Prefix"]: rule["Expiration"]["Days"] for rule in rules if "/rec/" in rule["Filter"]["Prefix"]}


def test_cost_by_what_is_recorded(recorded, folder):
    def cost(*arguments):
        done = miharu("cost", *arguments, data=recorded.data)
        return done.returncode, done.stdout, done.stderr

    status, text, errors = cost("--json", "--config", recorded.config, "--live-hours", 1)
    assert status == DONE, errors
    told = json.loads(text)
    front = next(each for each in told["cameras"] if each["camera"] == "front")
    items = recorded.objects("front")
    span = max(item.start_ms for item in items) - min(item.start_ms for item in items)
    bits = sum(item.path.stat().st_size for item in items[:-1]) * 8000 / span
    assert front["bitrate_measured"] and abs(front["bitrate_bps"] / bits - 1) < 0.25
    assert front["segment_seconds"] == 5 and abs(front["puts"] - 2.592) < 1e-9
    assert abs(front["storage"] - front["bitrate_bps"] / 8 * 30 * 86400 / 2**30 * 0.023) < 1e-9
    # The figures of the design.
    status, text, _ = cost("--bitrate", "2Mbit/s", "--segment", "30s")
    assert status == DONE and "13.88" in text and "4 s 3.24, 10 s 1.30, 30 s 0.43, 60 s 0.22" in text and "list prices of 20" in text
    assert cost("--provider", "nobody")[0] == CALLED_WRONGLY and cost("--keep", "soon")[0] == CALLED_WRONGLY
    with Miharu(folder, {"front": demo_url()}) as server:
        server.wait_for_recording("front")
        wait_until(lambda: server.camera("front")["bitrate_bps"] > 0, 20, "the bitrate is known")
        told = server.api("/cost?provider=r2&live_hours=10")
        assert told["provider"] == "r2" and told["cameras"][0]["live_hours"] == 10 and told["cameras"][0]["total"] > 0
        assert server.request("/api/v1/cost?live_hours=-1")[0] == 400
        assert server.request("/api/v1/cost?provider=x")[0] == 400
        assert get(f"{server.address}/api/v1/cost", {"Authorization": f"Bearer {server.token()}"})[0] == 403
