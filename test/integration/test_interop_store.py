"""Uploading and playback with programs that the ordinary tests do not need: MinIO as a second S3 server, toxiproxy as the line.
`./dev test --interop` builds both."""
import collections
import contextlib
import json
import re
import time

import pytest

import bucket
from bucket import READER_KEYS, RELAY_KEYS, ROOT_KEYS, Store, refused
from harness import DONE, INTEROP, Miharu, demo_url, frame_numbers, miharu, wait_until
from minio_store import ADMIN_KEYS, MinioStore
from test_bucket_live import FPS, MOST_AFTER_THE_LAST, Viewer, keys_of, recorded_numbers
from test_serve import get, serve, token
from test_upload import local, remote
from test_upload_faults import SEED, compare_frames, fetch, holes, parse, pending, versions
from camera.simulator import Simulator
from toxiproxy import Toxiproxy

pytestmark = pytest.mark.skipif(not INTEROP, reason="MinIO and toxiproxy are built by `./dev test --interop` alone (6 minutes)")


@pytest.fixture(scope="module", name="store")
def minio_server(tmp_path_factory):
    with MinioStore(tmp_path_factory.mktemp("minio")) as running:
        yield running


def test_what_init_makes_of_minio(store):
    results = {step: result for step, (result, _) in store.steps.items()}
    assert results.pop("policy") == "note" and "cannot forbid overwriting" in store.steps["policy"][1]
    assert results.pop("cors") == "note"
    assert set(results.values()) == {"ok"}, store.steps
    admin = store.client()
    assert admin.get_bucket_versioning(Bucket=store.bucket)["Status"] == "Enabled"
    rules = {rule["ID"]: rule for rule in admin.get_bucket_lifecycle_configuration(Bucket=store.bucket)["Rules"]}
    recordings = rules["miharu/r1/recordings"]
    assert recordings["Expiration"]["Days"] == 30 and recordings["NoncurrentVersionExpiration"]["NoncurrentDays"] == 7
    assert recordings["Filter"]["Prefix"] == "home/r1/rec/"
    assert rules["miharu/r1/live"]["Expiration"]["Days"] == 1
    assert rules["miharu/markers"]["Expiration"]["ExpiredObjectDeleteMarker"]
    # Once more, with another age: nothing is there twice.
    assert store.init("--keep", "14d")["lifecycle"][0] == "ok"
    again = admin.get_bucket_lifecycle_configuration(Bucket=store.bucket)["Rules"]
    assert len(again) == len(rules)
    assert next(rule for rule in again if rule["ID"] == "miharu/r1/recordings")["Expiration"]["Days"] == 14


def test_each_key_may_do_what_it_needs_and_no_more(store):
    def put(client, key, **more):
        return client.put_object(Bucket=store.bucket, Key=store.prefix + key, Body=b"x", **more)

    relay, reader, keeper = (store.client(keys) for keys in (RELAY_KEYS, READER_KEYS, ADMIN_KEYS))
    media = "r1/rec/front/2026/11/21/03/object.mp4"
    name = {"Bucket": store.bucket, "Key": store.prefix + media}
    put(relay, media, IfNoneMatch="*")
    assert refused(lambda: put(relay, media, IfNoneMatch="*")) == "PreconditionFailed"
    for key in ("app/index.html", "r2/rec/front/x.mp4", "r10/x", "control/r1/wanted.json", "control/r2/wanted.json", "auth/users.json", "r1"):
        assert refused(lambda key=key: put(relay, key, IfNoneMatch="*")) == "AccessDenied", key
    assert refused(lambda: relay.put_object(Bucket=store.bucket, Key="r1/rec/x", Body=b"", IfNoneMatch="*")) == "AccessDenied"
    for call in (lambda: relay.get_object(**name), lambda: relay.head_object(**name), lambda: relay.delete_object(**name),
                 lambda: relay.delete_objects(Bucket=store.bucket, Delete={"Objects": [{"Key": name["Key"]}]})["Errors"][0],
                 lambda: relay.list_objects_v2(Bucket=store.bucket, Prefix=store.prefix + "r1/"),
                 lambda: relay.list_object_versions(Bucket=store.bucket), relay.list_buckets, lambda: relay.get_bucket_policy(Bucket=store.bucket),
                 lambda: relay.put_bucket_versioning(Bucket=store.bucket, VersioningConfiguration={"Status": "Suspended"}),
                 lambda: relay.copy_object(CopySource=name, Bucket=store.bucket, Key=store.prefix + "r1/rec/copy")):
        assert told_to_be_refused(call), call
    wishes = {"Bucket": store.bucket, "Key": store.prefix + "control/r1/wanted.json"}
    assert relay.get_object(**wishes)["Body"].read() == b"{}\n"
    # What this store cannot forbid: versions keep what was overwritten.
    put(relay, media)
    found = store.client().list_object_versions(Bucket=store.bucket, Prefix=name["Key"])["Versions"]
    assert len(found) == 2

    assert reader.get_object(**name)["Body"].read() == b"x"
    assert reader.list_objects_v2(Bucket=store.bucket, Prefix=store.prefix)["KeyCount"] == 2
    put(reader, "control/r1/wanted.json")
    for call in (lambda: reader.list_objects_v2(Bucket=store.bucket), lambda: reader.delete_object(**name),
                 lambda: put(reader, media), lambda: put(reader, "app/index.html"), lambda: put(reader, "auth/users.json"),
                 lambda: put(reader, "r1/live/front/1/live.m3u8")):
        assert refused(call) == "AccessDenied"

    put(keeper, "app/index.html")
    for version in keeper.list_object_versions(Bucket=store.bucket, Prefix=name["Key"])["Versions"]:
        keeper.delete_object(**name, VersionId=version["VersionId"])
    keeper.delete_object(Bucket=store.bucket, Key=store.prefix + "app/index.html")
    assert refused(lambda: keeper.put_object(Bucket=store.bucket, Key="elsewhere", Body=b"")) == "AccessDenied"
    assert refused(lambda: keeper.delete_bucket(Bucket=store.bucket)) == "AccessDenied"
    assert not store.keys("r1/rec/")


def told_to_be_refused(call):
    """Of HEAD no words come, and of several deletions each has its own."""
    try:
        return call().get("Code") == "AccessDenied"
    except bucket.botocore.exceptions.ClientError as error:
        return error.response["Error"]["Code"] in ("AccessDenied", "403")


def test_cloud_test_finds_the_relays_key_good(folder, store):
    def steps(keys):
        (folder / "miharu.toml").write_text(store.config(), encoding="utf-8")
        done = miharu("cloud", "test", "--json", "--config", folder / "miharu.toml", data=folder / "data",
                      env={"HOME": str(folder), **store.environment(keys)})
        return done.returncode, {each["step"]: each["result"] for each in map(json.loads, done.stdout.splitlines())}

    status, results = steps(RELAY_KEYS)
    assert status == DONE, results
    assert results.pop("overwrite") == "note"
    assert results == dict.fromkeys(["put", "clock", "checksum", "get", "list", "delete", "elsewhere", "app", "wanted", "rate"], "ok")
    wrong = {step for step, result in steps(ROOT_KEYS)[1].items() if result == "wrong"}
    assert wrong == {"get", "list", "delete", "elsewhere", "app"}
    assert not store.keys("app/") and not store.keys("not-r1/")


@pytest.fixture(scope="module", name="uploaded")
def relay_with_a_bucket(store, tmp_path_factory):
    """A recorder whose first objects are in the bucket; it goes on."""
    folder = tmp_path_factory.mktemp("relay")
    with Miharu(folder, {"front": demo_url(FPS), "yard": demo_url(FPS, audio=False)}, segment="5s", more=store.config(),
                env={"HOME": str(folder), **store.environment()}) as server:
        server.wait_for_objects("front", 4, 60)
        wait_until(lambda: len(store.keys("r1/rec/front/")) >= 3 and len(store.keys("r1/rec/yard/")) >= 3, 20, "they are in the bucket")
        yield server


def test_what_is_in_the_bucket_is_what_was_recorded(store, uploaded):
    there = {key: value for key, value in remote(store).items() if key.startswith("rec/")}
    here = local(uploaded)
    assert len(there) >= 6
    assert {key: here.get(key) for key in there} == there
    found = collections.Counter(key for key, _ in versions(store))
    assert set(found.values()) == {1}
    assert uploaded.api("/cameras")["uploads"] == {"state": "uploading", "error": None, "warning": None}
    env = {**keys_of(store, READER_KEYS)}
    done = miharu("verify", "--json", "--store", store.url, env=env)
    assert done.returncode == DONE, (done.stdout, done.stderr)
    assert miharu("ls", "front", "--store", store.url, env=env).stdout.count("\n") >= 1


def test_serve_plays_the_bucket(store, uploaded, tmp_path):
    key = tmp_path / "serve.key"
    allowed = token(store.url, key, "front", "--rights", "live,playback", env=keys_of(store, ADMIN_KEYS))
    objects = [item for item in uploaded.objects("front") if any(name.endswith(item.path.name) for name in store.keys("r1/rec/front/"))]
    first, last = objects[0], objects[-1]
    expected = [number for item in objects[:-1] for number in frame_numbers(str(item.path))]
    for delivery in ("proxied", "presigned"):
        with serve(store.url, tmp_path, key, {**keys_of(store, READER_KEYS), "MIHARU_DELIVERY": delivery}) as address:
            url = f"{address}/t/{allowed}/hls/front/vod.m3u8?from={first.start_ms}&to={last.start_ms}"
            assert frame_numbers(url, quiet=False) == expected
            assert (store.endpoint in get(url)[1].decode()) == (delivery == "presigned")
            assert json.loads(get(f"{address}/t/{allowed}/api/v1/cameras/front/timeline?from=-1h")[1])["spans"]


def test_live_through_the_bucket(store, uploaded, tmp_path):
    key = tmp_path / "serve.key"
    allowed = token(store.url, key, "front", "--rights", "live,playback", env=keys_of(store, ADMIN_KEYS))
    with serve(store.url, tmp_path, key, keys_of(store, READER_KEYS)) as address:
        with Viewer(address, allowed) as viewer:
            viewer.wait_for_pictures(20)
            numbers = frame_numbers(viewer.playlist, options=["-live_start_index", "0", "-t", "6"], quiet=False)
            assert len(numbers) > 3 * FPS
        # Each picture that was recorded meanwhile, and none twice.
        recorded = wait_until(lambda: (known := recorded_numbers(uploaded, "front")) and numbers[-1] in known and known, 20,
                              "it is recorded")
        at = recorded.index(numbers[0])
        assert numbers == recorded[at:at + len(numbers)]
        wait_until(lambda: "#EXT-X-ENDLIST" in viewer.text(), MOST_AFTER_THE_LAST + 5, "the playlist ends")


CAMERAS, BACKLOG = 16, 96
# Of a connection, KB/s: so that what strikes a connection strikes it within a body.
RATE = 400
# What the line does wrong beside being slow. What `ends` a connection strikes all of them until attempts have failed, and then some.
Toxic = collections.namedtuple("Toxic", "kind stream ends attributes")
TOXICS = [
    Toxic("latency", "upstream", False, {"latency": 150, "jitter": 100}),  # ms
    Toxic("latency", "downstream", False, {"latency": 300, "jitter": 200}),
    Toxic("slicer", "upstream", False, {"average_size": 400, "size_variation": 300, "delay": 50}),  # bytes, µs
    Toxic("slicer", "downstream", False, {"average_size": 3, "size_variation": 2, "delay": 100}),
    Toxic("timeout", "upstream", True, {"timeout": 700}),  # bytes vanish; ms later the connection ends
    Toxic("timeout", "downstream", True, {"timeout": 700}),
    Toxic("reset_peer", "upstream", True, {"timeout": 100}),
    Toxic("reset_peer", "downstream", True, {"timeout": 200}),
    Toxic("limit_data", "upstream", True, {"bytes": 100_000}),
    Toxic("limit_data", "downstream", True, {"bytes": 60}),  # within the header of a reply
    Toxic("slow_close", "downstream", False, {"delay": 500}),
]
SHARE = 0.6


def camera_of(number):
    """Pictures of noise, 180 kB in 5 s: each known by its hash."""
    return parse({"name": f"cam{number}", "title": "one of many", "camera": {"transport": "tcp"},
                  "video": {"fps": 4, "gop": 20, "key_bytes": 65_000, "bytes": 6_000}}, f"cam{number}")


def counter(server, name):
    text = server.request("/metrics")[2].decode()
    return sum(float(value) for value in re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE))


@pytest.mark.parametrize("kind", [MinioStore, Store])
def test_a_backlog_drains_through_toxiproxy(folder, tmp_path_factory, kind):
    print(f"MIHARU_SEED={SEED}")
    with contextlib.ExitStack() as stack:
        simulator = Simulator([camera_of(number) for number in range(CAMERAS)], folder).start()
        stack.callback(simulator.stop)
        store = stack.enter_context(kind(tmp_path_factory.mktemp("store")))
        store.client().put_bucket_versioning(Bucket=store.bucket, VersioningConfiguration={"Status": "Enabled"})
        line = stack.enter_context(Toxiproxy(store.port, folder, SEED))
        cameras = {name: f'url = "{simulator.url(name)}"\ntransport = "tcp"' for name in simulator.cameras}
        server = stack.enter_context(Miharu(folder, cameras, segment="5s", more=store.config(endpoint=line.endpoint),
                                            env={"HOME": str(folder), **store.environment()}))
        uploads, failures = (lambda name=name: counter(server, name)
                             for name in ("miharu_uploaded_objects_total", "miharu_upload_failures_total"))
        wait_until(lambda: versions(store), 30, "an object is in the bucket")
        line.set_open(False)
        wait_until(lambda: pending(server) >= BACKLOG, 90, "a backlog comes up")
        line.add("rate", "bandwidth", "upstream", rate=RATE)
        line.set_open(True)
        for toxic in TOXICS:
            uploaded, failed = uploads(), failures()
            began = time.monotonic()
            line.add("toxic", toxic.kind, toxic.stream, **toxic.attributes)
            if toxic.ends:
                wait_until(lambda: failures() >= failed + 4, 60, f"attempts fail because of {toxic}")
                # Not changed, which would let bytes through behind others that had vanished.
                line.remove("toxic")
                line.add("toxic", toxic.kind, toxic.stream, SHARE, **toxic.attributes)
            wait_until(lambda: uploads() >= uploaded + 8, 90, f"objects go through {toxic}")
            line.remove("toxic")
            print(f"{toxic.kind} {toxic.stream}: {uploads() - uploaded:.0f} objects, {failures() - failed:.0f} failures in "
                  f"{time.monotonic() - began:.1f} s, {pending(server)} wait")
        line.remove("rate")
        simulator.freeze()
        wait_until(lambda: not list(server.store.glob("tmp/*.part")), 40, "everything has its name")
        wait_until(lambda: pending(server) == 0, 120, "nothing waits to be uploaded")
        assert server.stop() == 0

        there = versions(store)
        twice = [key for key, times in collections.Counter(key for key, _ in there).items() if times > 1]
        assert not twice, f"in more than one version: {twice}"
        here = {key: value for key, value in local(server).items() if key.startswith("rec/")}
        objects = fetch(store, list(dict(there)))
        assert sorted(objects) == sorted(here) and len(objects) >= BACKLOG
        assert all(here[key] == value for key, value in objects.items())
        problems = []
        for name, camera in simulator.cameras.items():
            mine = {key: value for key, value in objects.items() if key.split("/")[1] == name}
            problems += [f"{name}: {each}" for each in [*compare_frames(camera, mine, []), *holes(mine)]]
        assert not problems, f"{len(problems)} problems: " + "\n".join(problems[:8])
        print(f"{len(objects)} objects, {sum(len(camera.truth) for camera in simulator.cameras.values())} pictures compared")
