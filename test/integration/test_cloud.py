"""`miharu cloud test` against a real S3 server with the credentials of the design, and with wrong ones."""
import json

import pytest

from bucket import READER_KEYS, RELAY_KEYS, ROOT_KEYS, Store, refused
from harness import CALLED_WRONGLY, COULD_NOT, DONE, FOUND_WRONG, miharu


@pytest.fixture(scope="module", params=["keep-alive", "close"])
def store(request, tmp_path_factory):
    """One that keeps connections open, and one that ends each after its reply."""
    with Store(tmp_path_factory.mktemp("store"), arguments=["--keep-alive"] if request.param == "keep-alive" else []) as running:
        yield running


def cloud_test(folder, store, keys=RELAY_KEYS, env=None, **config):
    """Exit status, {step: (result, text)}, and standard error."""
    (folder / "miharu.toml").write_text(store.config(**config), encoding="utf-8")
    environment = {"HOME": str(folder), **(store.environment(keys) if keys else {}), **(env or {})}
    done = miharu("cloud", "test", "--json", "--config", folder / "miharu.toml", data=folder / "data", env=environment)
    steps = [json.loads(line) for line in done.stdout.splitlines()]
    return done.returncode, {each["step"]: (each["result"], each["text"]) for each in steps}, done.stderr


def test_the_relays_key_may_create_and_nothing_else(folder, store):
    status, steps, errors = cloud_test(folder, store)
    assert status == DONE, (steps, errors)
    results = {step: result for step, (result, _) in steps.items()}
    # This server cannot forbid a PUT without If-None-Match.
    assert results.pop("overwrite") == "note"
    assert results == dict.fromkeys(
        ["put", "clock", "checksum", "get", "list", "delete", "elsewhere", "app", "wanted", "rate"], "ok")
    # The independent client sees the same: what was put is there, and its key is as small as that.
    keys = store.keys("r1/live/test/")
    assert {key.rsplit("/", 1)[1] for key in keys} == {"first.bin", "rate.bin"}
    assert set(keys) == set(store.keys())
    relay = store.client(RELAY_KEYS)
    first = next(key for key in keys if key.endswith("first.bin"))
    assert refused(lambda: relay.get_object(Bucket=store.bucket, Key=store.prefix + first)) == "AccessDenied"
    assert refused(lambda: relay.list_objects_v2(Bucket=store.bucket)) == "AccessDenied"
    assert refused(lambda: relay.delete_object(Bucket=store.bucket, Key=store.prefix + first)) == "AccessDenied"


def test_a_key_that_may_more_is_found_wrong(folder, store):
    status, steps, _ = cloud_test(folder, store, ROOT_KEYS)
    assert status == FOUND_WRONG
    wrong = {step for step, (result, _) in steps.items() if result == "wrong"}
    assert wrong == {"get", "list", "delete", "elsewhere", "app"}
    assert "s3:ListBucket" in steps["list"][1]
    # What it could write where it should not is gone again.
    assert not store.keys("app/") and not store.keys("not-r1/")


@pytest.mark.parametrize("keys, config, told", [
    (("relay", "s3cret"), {}, "SignatureDoesNotMatch"),
    (("nobody", "s3cret"), {}, "InvalidAccessKeyId"),
    (READER_KEYS, {}, "the credentials do not allow it"),
    (RELAY_KEYS, {"relay": "r2"}, "the credentials do not allow it"),
    (ROOT_KEYS, {"url": "s3://no-such-bucket"}, "make the bucket"),
    (RELAY_KEYS, {"endpoint": "http://127.0.0.1:9"}, "check this machine's connection"),
])
def test_what_cannot_work_says_what_to_do(folder, store, keys, config, told):
    status, steps, _ = cloud_test(folder, store, keys, **config)
    assert status == FOUND_WRONG
    assert list(steps) == ["put"] and steps["put"][0] == "wrong"
    assert told in steps["put"][1]
    assert keys[1] not in json.dumps(steps)


def test_credentials_come_from_a_file_that_nobody_else_can_read(folder, store):
    keys = folder / "keys"
    keys.write_text(f"aws_access_key_id = {RELAY_KEYS[0]}\naws_secret_access_key = {RELAY_KEYS[1]}\n", encoding="utf-8")
    keys.chmod(0o644)
    status, _, errors = cloud_test(folder, store, None, credentials_file=keys)
    assert status == COULD_NOT and f"chmod 600 {keys}" in errors
    keys.chmod(0o600)
    assert cloud_test(folder, store, None, credentials_file=keys)[0] == DONE
    # The same as a profile of the AWS files.
    (folder / ".aws").mkdir()
    (folder / ".aws/credentials").write_text("[relay]\n" + keys.read_text(encoding="utf-8"), encoding="utf-8")
    assert cloud_test(folder, store, None, profile="relay")[0] == DONE
    assert cloud_test(folder, store, None, env={"AWS_PROFILE": "relay"})[0] == DONE
    status, _, errors = cloud_test(folder, store, None)
    assert status == COULD_NOT and "no section [default]" in errors


def test_the_relay_has_a_folder_of_its_own(folder, store):
    config = store.config().replace(f'relay = "{store.relay}"\n', "")
    (folder / "miharu.toml").write_text(config, encoding="utf-8")
    arguments = ("cloud", "test", "--json", "--config", folder / "miharu.toml")
    miharu(*arguments, data=folder / "data", env=store.environment(ROOT_KEYS))
    relay = (folder / "data/relay-id").read_text(encoding="ascii").strip()
    assert store.keys(relay + "/live/test/")
    miharu(*arguments, data=folder / "data", env=store.environment(ROOT_KEYS))
    assert (folder / "data/relay-id").read_text(encoding="ascii").strip() == relay


def test_without_a_bucket_it_says_so(folder):
    (folder / "miharu.toml").write_text("", encoding="utf-8")
    done = miharu("cloud", "test", "--config", folder / "miharu.toml", data=folder / "data")
    assert done.returncode == CALLED_WRONGLY and "names no bucket" in done.stderr
