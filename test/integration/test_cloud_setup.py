"""`miharu cloud init`: an empty S3 server becomes one with the four credentials of the design, each of which may do what it needs
and nothing else. Looked at by boto3 and by `miharu cloud test`."""
import json
import re
import stat

import botocore.exceptions
import pytest

from bucket import ROOT_KEYS, Store, refused
from harness import CALLED_WRONGLY, COULD_NOT, DONE, FOUND_WRONG, miharu


@pytest.fixture(name="server")
def s3_server(tmp_path):
    """Without bucket and users."""
    running = Store(tmp_path / "server").start()
    yield running
    running.stop()


def init(server, folder, *arguments, relay="home", out=None, keys=ROOT_KEYS, stdin="", yes=True):
    """Gives (status, {step: (result, text)}, standard error)."""
    environment = {"HOME": str(folder), **(server.environment(keys) if keys else {})}
    command = ["cloud", "init", "--json", "--url", server.url, "--endpoint", server.endpoint, "--region", "us-east-1", "--relay", relay,
               "--config", folder / f"{relay}.toml", "--out", folder / f"keys-{out or relay}", *(["--yes"] if yes else []), *arguments]
    done = miharu(*command, data=folder / "data", env=environment, stdin=stdin)
    steps = [json.loads(line) for line in done.stdout.splitlines()]
    return done.returncode, {each["step"]: (each["result"], each["text"]) for each in steps}, done.stderr


def keys_in(path):
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    lines = dict(line.split(" = ") for line in path.read_text(encoding="utf-8").splitlines())
    return lines["aws_access_key_id"], lines["aws_secret_access_key"]


def statements(server):
    """{Sid: statement} of the bucket's policy."""
    found = json.loads(server.client().get_bucket_policy(Bucket=server.bucket)["Policy"])["Statement"]
    assert len({each["Sid"] for each in found}) == len(found)
    return {each["Sid"]: each for each in found}


def put(client, server, key, **more):
    return client.put_object(Bucket=server.bucket, Key=server.prefix + key, Body=b"x", **more)


def test_what_init_makes_is_enough_and_no_more(server, folder):
    status, steps, errors = init(server, folder)
    assert status == DONE, (steps, errors)
    results = {step: result for step, (result, _) in steps.items()}
    # This server expires nothing, and knows no condition that would forbid overwriting.
    assert results.pop("lifecycle") == "note" and "miharu prune --keep 30d" in steps["lifecycle"][1]
    assert results.pop("policy") == "note" and "overwriting" in steps["policy"][1]
    assert set(results.values()) == {"ok"}
    out = folder / "keys-home"
    assert stat.S_IMODE(out.stat().st_mode) == 0o700 and stat.S_IMODE((out / "serve.key").stat().st_mode) == 0o600

    admin = server.client()
    assert admin.get_bucket_versioning(Bucket=server.bucket)["Status"] == "Enabled"
    (rule,) = admin.get_bucket_cors(Bucket=server.bucket)["CORSRules"]
    assert rule["AllowedMethods"] == ["GET", "HEAD"] and set(rule["ExposeHeaders"]) == {"Content-Range", "Content-Length", "ETag"}
    assert server.get("control/home/wanted.json") == b"{}\n"

    relay = server.client(keys_in(out / "relay.credentials"))
    media = "home/rec/front/2026/11/21/03/object.mp4"
    put(relay, server, media, IfNoneMatch="*")
    for key in ("app/index.html", "other/rec/front/x.mp4", "home2/x", "control/home/wanted.json", "control/other/wanted.json",
                "auth/users.json", "home"):
        assert refused(lambda key=key: put(relay, server, key, IfNoneMatch="*")) == "AccessDenied", key
    name = {"Bucket": server.bucket, "Key": server.prefix + media}
    assert refused(lambda: relay.get_object(**name)) == "AccessDenied"
    assert refused(lambda: relay.delete_object(**name)) == "AccessDenied"
    assert refused(lambda: relay.list_objects_v2(Bucket=server.bucket, Prefix=server.prefix + "home/")) == "AccessDenied"
    assert refused(lambda: relay.list_object_versions(Bucket=server.bucket)) == "AccessDenied"
    assert refused(lambda: relay.get_bucket_policy(Bucket=server.bucket)) == "AccessDenied"
    assert refused(lambda: put(relay, server, media, IfNoneMatch="*")) == "PreconditionFailed"
    wishes = {"Bucket": server.bucket, "Key": server.prefix + "control/home/wanted.json"}
    assert relay.get_object(**wishes)["Body"].read() == b"{}\n"
    for key in ("control/other/wanted.json", "auth/users.json"):
        assert refused(lambda key=key: relay.get_object(Bucket=server.bucket, Key=server.prefix + key)) == "AccessDenied"
    # The rolling playlist is the one thing that it may replace.
    playlist = "home/live/front/1/live.m3u8"
    put(relay, server, playlist)
    put(relay, server, playlist)

    reader = server.client(keys_in(out / "reader.credentials"))
    assert reader.get_object(**name)["Body"].read() == b"x"
    assert reader.list_objects_v2(Bucket=server.bucket, Prefix=server.prefix)["KeyCount"] == 3
    assert refused(lambda: reader.list_objects_v2(Bucket=server.bucket)) == "AccessDenied"
    assert refused(lambda: reader.delete_object(**name)) == "AccessDenied"
    for key in (media, "app/index.html", "auth/users.json", "home/live/front/1/live.m3u8"):
        assert refused(lambda key=key: put(reader, server, key)) == "AccessDenied", key
    put(reader, server, "control/home/wanted.json")


def test_the_recorder_is_ready_with_what_init_wrote(server, folder):
    assert init(server, folder)[0] == DONE
    done = miharu("cloud", "test", "--json", "--config", folder / "home.toml", data=folder / "data", env={"HOME": str(folder)})
    results = {each["step"]: each["result"] for each in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == DONE, (done.stdout, done.stderr)
    assert results.pop("overwrite") == "note" and set(results.values()) == {"ok"}
    # All of its settings are accepted, and nothing of the cloud's key is on it.
    assert miharu("config", "check", folder / "home.toml").returncode == DONE
    assert "serve.key" not in (folder / "home.toml").read_text(encoding="utf-8")


def test_a_second_recorder_leaves_the_first_as_it_is(server, folder):
    assert init(server, folder)[0] == DONE
    other = json.loads(server.client().get_bucket_policy(Bucket=server.bucket)["Policy"])
    other["Statement"].append({"Sid": "Theirs", "Effect": "Deny", "Principal": "*", "Action": ["s3:DeleteBucket"],
                               "Resource": [f"arn:aws:s3:::{server.bucket}"]})
    server.client().put_bucket_policy(Bucket=server.bucket, Policy=json.dumps(other))
    status, steps, _ = init(server, folder, relay="barn")
    assert status == DONE, steps
    # The readers were there: their key is not made again.
    assert steps["reader"][0] == "note" and not (folder / "keys-barn/reader.credentials").exists()
    home, barn = (server.client(keys_in(folder / f"keys-{relay}/relay.credentials")) for relay in ("home", "barn"))
    put(home, server, "home/rec/front/a.mp4", IfNoneMatch="*")
    put(barn, server, "barn/rec/front/a.mp4", IfNoneMatch="*")
    assert refused(lambda: put(home, server, "barn/rec/front/b.mp4", IfNoneMatch="*")) == "AccessDenied"
    assert refused(lambda: put(barn, server, "home/rec/front/b.mp4", IfNoneMatch="*")) == "AccessDenied"
    policy = statements(server)
    assert "Theirs" in policy
    # Once more, and nothing changes: neither rights nor keys, nor what viewers asked for.
    put(server.client(), server, "control/home/wanted.json")
    before = keys_in(folder / "keys-home/relay.credentials")
    status, steps, _ = init(server, folder)
    assert status == DONE and steps["relay"][0] == "note" and steps["config"][0] == "note"
    assert keys_in(folder / "keys-home/relay.credentials") == before
    assert server.get("control/home/wanted.json") == b"x"
    assert statements(server) == policy


def test_a_key_is_not_written_over_that_of_another_recorder(server, folder):
    assert init(server, folder)[0] == DONE
    path = folder / "keys-home/relay.credentials"
    before = path.read_bytes()
    status, _, errors = init(server, folder, relay="barn", out="home")
    assert status == COULD_NOT and "footage-home-home" in errors and "footage-home-barn" in errors and "--out" in errors
    assert path.read_bytes() == before
    # Nothing was made of it: with a folder of its own it gets its key.
    assert init(server, folder, relay="barn")[0] == DONE
    put(server.client(keys_in(folder / "keys-barn/relay.credentials")), server, "barn/rec/front/a.mp4", IfNoneMatch="*")
    put(server.client(keys_in(path)), server, "home/rec/front/a.mp4", IfNoneMatch="*")


def test_print_only_writes_no_configuration(server, folder):
    toml = folder / "home.toml"
    status, steps, errors = init(server, folder, "--print-only")
    assert status == DONE, errors
    assert not toml.exists() and steps["config"][0] == "note" and 'relay = "home"' in steps["config"][1]
    toml.write_text("[server]\n", encoding="utf-8")
    # Nor does it ask whether to.
    status, steps, errors = init(server, folder, "--print-only", "--keep", "14d", "--origin", "*", yes=False)
    assert status == DONE, errors
    assert toml.read_text(encoding="utf-8") == "[server]\n" and 'keep = "14d"' in steps["config"][1]
    assert (folder / "keys-home/lifecycle.json").exists()


def told_by_init(server, folder, *arguments, **environment):
    done = miharu("cloud", "init", "--yes", "--print-only", "--url", server.url, "--relay", "home", "--config", folder / "told.toml",
                  "--out", folder / "keys-told", *arguments, data=folder / "data", env={"HOME": str(folder), **environment})
    assert done.returncode == DONE, done.stderr
    return done.stdout


def test_the_commands_that_init_prints_find_the_store(server, folder):
    assert init(server, folder)[0] == DONE
    text = told_by_init(server, folder, "--endpoint", server.endpoint, "--region", "us-east-1")
    (line,) = [line for line in text.splitlines() if "miharu user add" in line]
    words = re.search(r"in: (.*) \(with", line)[1].split()
    environment = dict(word.split("=", 1) for word in words if "=" in word)
    assert environment == {"AWS_ENDPOINT_URL": server.endpoint, "AWS_REGION": "us-east-1"}
    command = [word.replace("NAME", "alice") for word in words if "=" not in word]
    assert command[0] == "miharu"
    done = miharu(*command[1:], stdin="correct horse battery\n", env={"HOME": str(folder), **environment, **server.environment(ROOT_KEYS)})
    assert done.returncode == DONE, done.stderr
    assert "alice" in server.get("auth/users.json").decode()
    assert "a camera that was removed expires by the rule that it had" in text
    # AWS is found without, and users are called as the template calls them.
    text = told_by_init(server, folder, "--endpoint", "aws", "--region", "eu-central-1")
    assert "AWS_ENDPOINT_URL" not in text and "AWS_REGION=eu-central-1 MIHARU_TOKEN_KEY_FILE=serve.key miharu serve" in text
    assert set(re.findall(r"--user-name (\S+)", text)) == {"footage-relay-home", "footage-reader"}


def test_questions_have_defaults_and_wrong_answers_are_asked_again(server, folder):
    (folder / "asked.toml").write_text('[store]\npath = "data/store"\n', encoding="utf-8")
    answers = ["s3://UPPER", server.url, "example.org", server.endpoint, "", "control", "barn", "30", "14d", "", "yes", "yes"]
    done = miharu("cloud", "init", "--config", folder / "asked.toml", "--out", folder / "keys", data=folder / "data",
                  env={"HOME": str(folder), **server.environment(ROOT_KEYS)}, stdin="\n".join(answers) + "\n")
    assert done.returncode == DONE, (done.stdout, done.stderr)
    for told in ("is no name of a bucket", "must be a URL", "is a folder of another use", "must be whole days"):
        assert told in done.stderr, told
    text = (folder / "asked.toml").read_text(encoding="utf-8")
    assert text.startswith("[store]") and 'relay = "barn"' in text and 'keep = "14d"' in text
    assert "miharu prune --keep 14d" in done.stdout and "What is next" in done.stdout
    assert json.loads(server.client().get_bucket_policy(Bucket=server.bucket)["Policy"])


def test_without_answers_or_rights_it_says_so(server, folder):
    done = miharu("cloud", "init", "--out", folder / "keys", "--config", folder / "x.toml", data=folder / "data", env={"HOME": str(folder)})
    assert done.returncode == CALLED_WRONGLY and "--yes" in done.stderr
    # Without an administrator's key: what has to be done by hand, and files for it.
    status, steps, _ = init(server, folder, keys=None)
    assert status == DONE and steps["bucket"][0] == "note" and "administrator" in steps["bucket"][1]
    names = {each.name for each in (folder / "keys-home").iterdir()}
    assert names == {"serve.key", "policy-relay.json", "policy-reader.json", "policy-admin.json", "policy-bucket.json",
                     "lifecycle.json", "cors.json"}
    relay = json.loads((folder / "keys-home/policy-relay.json").read_text(encoding="utf-8"))
    assert relay["Statement"][0]["Condition"] == {"Null": {"s3:if-none-match": "false"}}
    # A key that may not: each step says what the store said.
    assert init(server, folder, relay="ok")[0] == DONE
    status, steps, _ = init(server, folder, relay="barn", keys=keys_in(folder / "keys-ok/relay.credentials"))
    assert status == FOUND_WRONG and steps["bucket"][0] == "wrong" and "AccessDenied" in steps["bucket"][1]
    server.stop()
    status, steps, _ = init(server, folder, relay="barn")
    assert status == FOUND_WRONG and server.endpoint.removeprefix("http://") in steps["bucket"][1]


def test_the_forms_of_the_policies_are_executed_where_they_can_be(server, folder):
    done = miharu("cloud", "policy", "--url", server.url, "--relay", "home", "--keep", "14d", "--origin", "https://page.example",
                  "--config", folder / "none.toml")
    assert done.returncode == CALLED_WRONGLY  # a file that is named must be there
    done = miharu("cloud", "policy", "--url", server.url, "--relay", "home", "--keep", "14d", "--origin", "https://page.example")
    assert done.returncode == DONE, done.stderr
    forms = json.loads(done.stdout)
    admin = server.client()
    admin.create_bucket(Bucket=server.bucket)
    admin.put_bucket_cors(Bucket=server.bucket, CORSConfiguration=forms["CORSConfiguration"])
    (rule,) = admin.get_bucket_cors(Bucket=server.bucket)["CORSRules"]
    assert rule["AllowedOrigins"] == ["https://page.example"] and rule["MaxAgeSeconds"] == 3000
    # boto3 accepts the form; this store does not have the thing.
    with pytest.raises(botocore.exceptions.ClientError) as error:
        admin.put_bucket_lifecycle_configuration(Bucket=server.bucket, LifecycleConfiguration=forms["LifecycleConfiguration"])
    assert error.value.response["Error"]["Code"] == "NotImplemented"
    expiry = {rule["Filter"]["Prefix"]: rule.get("Expiration", {}).get("Days") for rule in forms["LifecycleConfiguration"]["Rules"]}
    assert expiry[server.prefix + "home/rec/"] == 14 and expiry[server.prefix + "home/live/"] == 1
