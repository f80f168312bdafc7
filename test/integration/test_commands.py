"""The other commands, as a user types them."""
import json
import re
import urllib.request

import pytest

from harness import CALLED_WRONGLY, COULD_NOT, DONE, FOUND_WRONG, Miharu, demo_url, miharu


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Miharu(tmp_path_factory.mktemp("commands"), {"demo": demo_url()}) as running:
        yield running


def sign_in(server, user, password):
    server.opener = urllib.request.build_opener()
    status, _, _ = server.request("/api/v1/session", {"user": user, "password": password})
    server.opener = None
    return status


def test_users(server):
    done = miharu("user", "add", "guest", data=server.data, stdin="a good long password\n")
    assert done.returncode == DONE, done.stderr
    assert "a good long password" not in done.stdout + done.stderr
    assert sign_in(server, "guest", "a good long password") == 204
    assert sign_in(server, "guest", "another password") == 401
    listed = miharu("user", "list", data=server.data).stdout.splitlines()
    assert [line.split()[0] for line in listed] == ["admin", "guest"]
    done = miharu("user", "passwd", "guest", data=server.data)
    made = re.search(r"Password \(shown this once\): (\S+)", done.stdout)
    assert done.returncode == DONE and made
    assert sign_in(server, "guest", made[1]) == 204
    assert miharu("user", "add", "guest", data=server.data, stdin="a good long password\n").returncode == COULD_NOT
    assert miharu("user", "remove", "guest", data=server.data).returncode == DONE
    assert sign_in(server, "guest", made[1]) == 401
    done = miharu("user", "remove", "guest", data=server.data)
    assert done.returncode == COULD_NOT and "guest" in done.stderr


def test_tokens(server):
    server.wait_for_span("demo", 1, 20)
    done = miharu("token", "create", "demo", "--rights", "playback", "--expires", "1h", data=server.data)
    assert done.returncode == DONE, done.stderr
    token = done.stdout.strip()
    listed = miharu("token", "list", data=server.data).stdout
    [line] = [line for line in listed.splitlines() if "valid" in line]
    name = line.split()[0]
    assert name in done.stderr and "playback" in line and "demo" in line
    path = f"/t/{token}/hls/demo/vod.m3u8?from=-1m&to=now"
    server.opener = urllib.request.build_opener()
    assert server.request(path)[0] == 200
    assert miharu("token", "revoke", name, data=server.data).returncode == DONE
    assert server.request(path)[0] == 401
    server.opener = None
    assert "revoked" in miharu("token", "list", data=server.data).stdout
    done = miharu("token", "create", "demo", "--rights", "everything", data=server.data)
    assert done.returncode == CALLED_WRONGLY and "everything" in done.stderr


def test_ls(server):
    server.wait_for_objects("demo", 1, 25)
    done = miharu("ls", "demo", "--from", "-1h", data=server.data)
    assert done.returncode == DONE and "run 1r" in done.stdout
    lines = [json.loads(line) for line in miharu("ls", "demo", "--json", data=server.data).stdout.splitlines()]
    [span] = [line for line in lines if line["type"] == "span"]
    assert span["run"] == "1r" and span["bytes"] > 10000
    done = miharu("ls", "front", data=server.data)
    assert done.returncode == COULD_NOT and '"front"' in done.stderr and "demo" in done.stderr
    done = miharu("ls", "demo", "--from", "yesterday", data=server.data)
    assert done.returncode == CALLED_WRONGLY and "--from" in done.stderr
    done = miharu("ls", "demo", data=server.folder / "nowhere")
    assert done.returncode == COULD_NOT and "nowhere" in done.stderr


def test_config(folder):
    sample = miharu("config", "sample")
    assert sample.returncode == DONE
    file = folder / "miharu.toml"
    file.write_text(sample.stdout, encoding="utf-8")
    done = miharu("config", "check", file)
    assert done.returncode == DONE and "0 cameras" in done.stdout
    file.write_text('[store]\npaht = "x"\n[[camera]]\nname = "Front"\nurl = "rtsp://192.0.2.1/"\n', encoding="utf-8")
    done = miharu("config", "check", file)
    assert done.returncode == FOUND_WRONG
    assert "2:1" in done.stderr and "paht" in done.stderr
    assert ":4:8: " in done.stderr and "camera name" in done.stderr
    file.write_text('[[camera]]\nname = "front"\nurl = "rtsp://192.0.2.1/"\npassword = "${NOT_SET_ANYWHERE}"\n',
                    encoding="utf-8")
    done = miharu("config", "check", file)
    assert done.returncode == FOUND_WRONG and "NOT_SET_ANYWHERE" in done.stderr


@pytest.mark.parametrize("arguments", [[], ["fly"], ["export", "demo"], ["run", "--listen"], ["verify", "--fast"]])
def test_called_wrongly(arguments):
    done = miharu(*arguments)
    assert done.returncode == CALLED_WRONGLY
    assert done.stderr


def test_help_and_version():
    done = miharu("--help")
    assert done.returncode == DONE
    for command in ("run", "ls", "verify", "export", "probe", "config", "user", "token"):
        assert re.search(rf"^\s+{command}\b", done.stdout, re.MULTILINE), command
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*\n", miharu("--version").stdout)
