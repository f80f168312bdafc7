"""`miharu run` with a bucket on a real S3 server: what is in the bucket is read by boto3."""
import json
import re
import signal
import time

from bucket import Store
from harness import DONE, Miharu, demo_url, miharu, unix_ms, wait_until


def relay(folder, store, more="", **config):
    return Miharu(folder, {"front": demo_url(), "yard": demo_url(audio=False)}, more=more + store.config(**config),
                  env={"HOME": str(folder), **store.environment()})


def local(server):
    """{key: bytes} of finished objects."""
    return {str(path.relative_to(server.store)): path.read_bytes() for path in server.store.glob("rec/*/*/*/*/*/*")}


def remote(store):
    """{key in the relay's folder: bytes}"""
    folder = store.relay + "/"
    return {key[len(folder):]: store.get(key) for key in store.keys(folder)}


def uploads(server, camera="front"):
    return server.camera(camera)["uploads"]


def wait_for_drained(server, seconds):
    wait_until(lambda: all(uploads(server, camera)["pending_objects"] == 0 for camera in ("front", "yard")), seconds,
               "nothing waits to be uploaded")


def assert_same(store, server):
    """Every finished object is in the bucket, byte for byte, and nothing else is."""
    here, there = local(server), remote(store)
    assert sorted(there) == sorted(here)
    assert there == here


def test_every_object_comes_into_the_bucket(folder, tmp_path_factory):
    with Store(tmp_path_factory.mktemp("store")) as store:
        with relay(folder, store) as server:
            server.wait_for_objects("front", 3, 40)
            wait_until(lambda: store.keys("r1/rec/front/"), 10, "an object is in the bucket")
            wait_for_drained(server, 10)
            # What is told: the API, the metrics.
            told = server.api("/cameras")
            assert told["uploads"] == {"state": "uploading", "error": None, "warning": None}
            objects = server.objects("front")
            safe = unix_ms(uploads(server)["safe_until"])
            assert objects[1].start_ms <= safe <= time.time() * 1000
            assert safe <= server.camera("front")["safe_until_ms"] <= time.time() * 1000
            status, _, text = server.request("/readyz")
            assert status == 200 and re.search(r"safe off-site up to 20\S+Z\n", text.decode())
            # What grows is on the disk alone.
            where = [span["where"] for span in server.timeline("front")["spans"]]
            assert where[0] == ["local", "uploaded"] and where[1:] in ([], [["local"]])
            metrics = server.request("/metrics")[2].decode()
            assert re.search(r'^miharu_upload_state\{state="uploading"\} 1$', metrics, re.MULTILINE)
            assert int(re.search(r"^miharu_uploaded_objects_total (\d+)", metrics, re.MULTILINE)[1]) >= 4
            until = float(re.search(r'^miharu_safe_off_site_until_seconds\{camera="front"\} (\S+)', metrics, re.MULTILINE)[1])
            assert until * 1000 >= safe
        # The objects that the stop finished follow after the next start.
        with server.start():
            wait_for_drained(server, 15)
            server.stop()
            here, there = local(server), remote(store)
            assert set(there) <= set(here)
            assert all(here[key] == there[key] for key in there)
            assert len(here) - len(there) <= 2  # those that this stop finished
        done = miharu("ls", "front", "--json", data=server.data)
        assert done.returncode == DONE, done.stderr
        assert "local+uploaded" in {line.get("where") for line in map(json.loads, done.stdout.splitlines())}


def test_a_backlog_drains_when_the_link_is_back(folder, tmp_path_factory):
    with Store(tmp_path_factory.mktemp("store")) as store:
        with relay(folder, store) as server:
            server.wait_for_objects("front", 1, 30)
            wait_for_drained(server, 10)
            store.stop()
            before = len(server.objects("front"))
            server.wait_for_objects("front", before + 3, 40)
            wait_until(lambda: uploads(server)["pending_objects"] >= 3, 10, "objects wait")
            assert server.api("/cameras")["uploads"]["state"] == "unreachable"
            assert "check this machine's connection" in server.api("/cameras")["uploads"]["error"]
            safe = unix_ms(uploads(server)["safe_until"])
            assert safe <= server.objects("front")[before].start_ms
            # Killed meanwhile: what waits is known after the start too.
            server.kill()
            server.start()
            wait_until(lambda: uploads(server)["pending_objects"] >= 3, 10, "objects wait after the start")
            waiting = {object.path.name for object in server.objects("front")[before:]}
            store.start()
            back = time.monotonic()
            newest = max(waiting)
            wait_until(lambda: any(key.endswith(newest) for key in store.keys("r1/rec/front/")), 10, "the newest is in the bucket")
            wait_for_drained(server, 20)
            print(f"drained {time.monotonic() - back:.1f} s after the link was back")
            assert server.api("/cameras")["uploads"]["state"] == "uploading"
            assert unix_ms(uploads(server)["safe_until"]) > safe
            here, there = local(server), remote(store)
            assert {key: there[key] for key in here if key.rsplit("/", 1)[1] in waiting} == {
                key: here[key] for key in here if key.rsplit("/", 1)[1] in waiting}


def test_only_what_is_in_the_bucket_is_evicted(folder, tmp_path_factory):
    with Store(tmp_path_factory.mktemp("store")) as store:
        with relay(folder, store) as server:
            server.wait_for_objects("front", 2, 30)
            wait_for_drained(server, 10)
            store.stop()
            before = {object.path.name for object in server.objects("front")}
            server.wait_for_objects("front", len(before) + 2, 30)
            wait_until(lambda: uploads(server)["pending_objects"] >= 2, 10, "objects wait")
        text = server.config.read_text(encoding="utf-8")
        server.config.write_text(text.replace('path = "data/store"', 'path = "data/store"\nkeep = { age = "1s" }'), encoding="utf-8")
        waiting = {object.path.name for object in server.objects("front")} - before
        with server.start():
            wait_until(lambda: not before & {object.path.name for object in server.objects("front")}, 20,
                       "what is in the bucket is gone from the disk")
            here = {object.path.name for object in server.objects("front")}
            assert waiting <= here
            spans = server.timeline("front")["spans"]
            assert spans[0]["where"] == ["uploaded"] and spans[0]["run"] is None
            assert ["local"] in [span["where"] for span in spans]
            assert not [gap for gap in server.timeline("front")["gaps"] if gap["reason"] in ("lost", "retention")]
            ls = miharu("ls", "front", data=server.data).stdout
            assert re.search(r"run -  uploaded$", ls, re.MULTILINE) and re.search(r"  local$", ls, re.MULTILINE)
            store.start()
            wait_for_drained(server, 20)
            names = {key.rsplit("/", 1)[1] for key in store.keys("r1/rec/front/")}
            assert before <= names and waiting <= names


def test_nothing_waits_for_ever_when_the_database_is_lost(folder, tmp_path_factory):
    with Store(tmp_path_factory.mktemp("store")) as store:
        with relay(folder, store) as server:
            server.wait_for_objects("front", 2, 30)
            wait_for_drained(server, 10)
        before = remote(store)
        for path in server.data.glob("miharu.db*"):
            path.unlink()
        server.password = None
        with server.start():
            wait_for_drained(server, 20)
            # What was there stays as it was: one version each, and the log says that nobody compared it.
            assert {key: value for key, value in remote(store).items() if key in before} == before
            wait_until(lambda: "not compared with the one here" in (folder / "stdout-1").read_text(encoding="utf-8"), 10,
                       "the log tells it")


def test_a_relay_without_the_right_says_what_to_do(folder, tmp_path_factory):
    with Store(tmp_path_factory.mktemp("store")) as store:
        with relay(folder, store, relay="r2") as server:
            server.wait_for_objects("front", 1, 30)
            told = wait_until(lambda: (about := server.api("/cameras")["uploads"])["state"] == "trouble" and about, 15,
                              "the refusal is told")
            assert "the policy that lets it put objects" in told["error"]
            assert uploads(server)["pending_objects"] >= 1
            assert not store.keys()


def test_other_credentials_are_taken_over_without_a_restart(folder, tmp_path_factory):
    keys = folder / "keys"

    def write(secret):
        keys.write_text(f"aws_access_key_id = relay\naws_secret_access_key = {secret}\n", encoding="utf-8")
        keys.chmod(0o600)
    write("changed-since")
    with Store(tmp_path_factory.mktemp("store")) as store:
        with relay(folder, store, credentials_file=str(keys)) as server:
            server.wait_for_objects("front", 1, 30)
            told = wait_until(lambda: (about := server.api("/cameras")["uploads"])["state"] == "trouble" and about, 15, "the refusal is told")
            assert "credentials" in told["error"]
            status, _, text = server.request("/readyz")
            assert status == 503 and b"nothing was uploaded" in text
            write("relay-secret")
            # The bandwidth is another one too, and everything else stays as it is.
            config = server.config.read_text(encoding="utf-8")
            server.config.write_text(config.replace("[cloud]\n", '[cloud]\nbandwidth = "10kbit/s"\n'), encoding="utf-8")
            server.process.send_signal(signal.SIGHUP)
            changed = time.monotonic()
            warning = wait_until(lambda: server.api("/cameras")["uploads"]["warning"], 20, "the cameras make more than that")
            assert "bandwidth" in warning
            server.config.write_text(config, encoding="utf-8")
            server.process.send_signal(signal.SIGHUP)
            wait_for_drained(server, 40)
            assert time.monotonic() - changed < 60
            assert server.request("/readyz")[0] == 200
            assert len({span["run"] for span in server.timeline("front")["spans"]}) == 1
            # A mistake changes nothing.
            keys.unlink()
            server.process.send_signal(signal.SIGHUP)
            wait_until(lambda: "was not taken over" in (folder / "stdout-0").read_text(encoding="utf-8"), 10, "the mistake is told")
            before = len(store.keys())
            wait_until(lambda: len(store.keys()) > before, 20, "uploading goes on")
