"""Cameras that others wrote: recorded, live, played back and probed."""
import json
import time

import pytest

import players
from cameras import GStreamerCamera, VlcCamera
from harness import (CALLED_WRONGLY, COULD_NOT, DONE, Miharu, frame_numbers, machine_is_busy, miharu, packets, unix_ms, verify,
                     wait_until)

PASSWORD = "s3cret-p@ss"
FPS = 25


@pytest.fixture(scope="module")
def gst():
    with GStreamerCamera() as camera:
        yield camera


@pytest.fixture(scope="module")
def guarded():
    """Asks for Digest."""
    with GStreamerCamera(digest=f"admin:{PASSWORD}") as camera:
        yield camera


@pytest.fixture(scope="module")
def vlc(recorders, public_folder):
    """Plays what the demo camera made: pictures with numbers, over and over."""
    server = recorders["mpegts"]
    objects = server.wait_for_objects("demo", 4, 60)
    file = public_folder / "loop.ts"
    with open(file, "wb") as out:
        for item in objects:
            out.write(item.path.read_bytes())
    file.chmod(0o644)
    with VlcCamera(file, public_folder) as camera:
        yield camera


CAMERAS = {
    # name: transport, codec of the sound as recorded
    "tcp": ("tcp", "aac"),
    "udp": ("udp", "aac"),
    "digest": ("tcp", "aac"),
    "aac": ("tcp", "aac"),
    "silent": ("udp", None),
    "vlc": ("udp", "aac"),
}


@pytest.fixture(scope="module")
def recorded(gst, guarded, vlc, tmp_path_factory):
    """All of them in one miharu, until two objects of each are there."""
    blocks = {
        "udp": f'url = "{gst.url("/pcma")}"\ntransport = "udp"',
        "digest": f'url = "{guarded.url("/pcma")}"\nuser = "admin"\npassword = "${{CAMERA_PASSWORD}}"',
        "aac": f'url = "{gst.url("/aac")}"\ntransport = "tcp"',
        "silent": f'url = "{gst.url("/silent")}"\ntransport = "udp"',
    }
    with Miharu(tmp_path_factory.mktemp("cameras"), blocks, env={"CAMERA_PASSWORD": PASSWORD},
                arguments=["--camera", f"tcp={gst.url('/pcma')}", "--camera", f"vlc={vlc.url()}"]) as server:
        for name in CAMERAS:
            server.wait_for_recording(name, 30)
        for name in CAMERAS:
            server.wait_for_objects(name, 2, 40)
        yield server


def skip_if_datagrams_were_lost(about):
    if about["packets_lost"] and about["transport"].lower() == "udp" and machine_is_busy():
        pytest.skip(f"the busy machine lost {about['packets_lost']} datagrams")


@pytest.mark.parametrize("name", CAMERAS)
def test_what_they_send_is_recorded_whole(recorded, name):
    transport, sound = CAMERAS[name]
    about = recorded.camera(name)
    assert about["state"] == "recording" and about["last_error"] is None
    assert about["transport"].lower() == transport
    skip_if_datagrams_were_lost(about)
    assert (about["frames_damaged"], about["packets_lost"]) == (0, 0)
    objects = recorded.objects(name)
    [span] = recorded.timeline(name)["spans"]
    assert span["damaged_chunks"] == 0
    times = []
    for item in objects:
        assert frame_numbers(item.path)
        found, base = packets(item.path)
        times += [float(pts * base) for pts, _, _ in found]
        codecs = players.ffprobe(item.path)
        assert set(codecs) == ({"h264", sound} if sound else {"h264"})
    # Their timestamps jitter by what their own threads do; a lost picture would be two steps. (VLC's have numbers.)
    steps = [b - a for a, b in zip(times, times[1:])]
    assert name == "vlc" or all(0.5 / FPS < step < 1.6 / FPS for step in steps), sorted(steps)[:3] + sorted(steps)[-3:]


def test_vlc_pictures_follow_one_another(recorded, vlc):
    numbers = [number for item in recorded.objects("vlc") for number in frame_numbers(item.path)]
    sent = frame_numbers(vlc.file)
    begin = sent.index(numbers[0])
    # Until the file is over; VLC may leave out something when it begins again.
    count = min(len(numbers), len(sent) - begin)
    assert count > 30
    assert numbers[:count] == sent[begin:begin + count]


@pytest.mark.parametrize("name", ["tcp", "udp", "digest", "vlc"])
def test_they_play_live_and_back(recorded, name):
    skip_if_datagrams_were_lost(recorded.camera(name))
    token = recorded.token(name)
    objects = recorded.objects(name)
    url = recorded.address_for_players(
        token, f"/hls/{name}/vod.m3u8?from={objects[0].start_ms}&to={objects[1].start_ms}")
    counts = players.ffprobe(url)
    assert counts["h264"] == len(packets(objects[0].path)[0])
    assert counts["aac"] > 0
    live = recorded.address_for_players(token, f"/hls/{name}/live.m3u8")
    assert len(frame_numbers(live, ["-t", "3"])) >= 3 * (12 if name == "vlc" else FPS) - 2


def test_the_password_is_nowhere_to_be_read(recorded):
    assert PASSWORD not in recorded.log()
    assert PASSWORD not in (recorded.folder / "stdout-0").read_text(encoding="utf-8")
    assert PASSWORD not in json.dumps(recorded.api("/cameras"))


def test_all_of_it_verifies(recorded):
    assert verify(recorded.data)["findings"] == 0


def test_probe_tells_what_a_camera_offers(gst):
    done = miharu("probe", gst.url("/pcma"))
    assert done.returncode == DONE, done.stderr
    for text in ("GStreamer RTSP server", "384x240", "PCMA", "8000 Hz", "tcp", "--camera front=" + gst.url("/pcma")):
        assert text.lower() in done.stdout.lower(), (text, done.stdout)
    done = miharu("probe", gst.url("/silent"), "--transport", "udp", "--json")
    assert done.returncode == DONE, done.stderr
    told = json.loads(done.stdout)
    assert told["transport"] == "udp" and told["error"] == "" and not told["b_frames"]
    assert abs(told["fps"] - FPS) < 2 and abs(told["gop_seconds"] - 1) < 0.1
    assert [track["kind"] for track in told["tracks"]] == ["video"]


def test_probe_of_a_wrong_password_and_of_nothing(guarded):
    done = miharu("probe", guarded.url("/pcma", "admin:wr0ng-one"))
    assert done.returncode == COULD_NOT
    assert "password" in done.stderr and "wr0ng-one" not in done.stdout + done.stderr
    done = miharu("probe", guarded.url("/pcma", "admin:s3cret-p%40ss"))
    assert done.returncode == DONE, done.stderr
    assert "s3cret-p" not in done.stdout + done.stderr
    done = miharu("probe", guarded.url("/nothing-here", "admin:s3cret-p%40ss"))
    assert done.returncode == COULD_NOT
    assert done.stderr.startswith("miharu: ")
    done = miharu("probe", "http://127.0.0.1/")
    assert done.returncode == CALLED_WRONGLY


def test_a_camera_that_goes_away_is_a_gap_with_its_reason(folder):
    with GStreamerCamera() as camera, Miharu(folder, {"yard": camera.url("/pcma")}) as server:
        server.wait_for_span("yard", 3, 25)
        camera.stop()
        went = time.time()
        wait_until(lambda: server.camera("yard")["last_error"], 20, "an error is shown while the camera is away")
        # Longer than what counts as a gap.
        time.sleep(max(0.0, 2.5 - (time.time() - went)))
        camera.start()
        back = time.time()
        server.wait_for_recording("yard", 30)

        def gap():
            timeline = server.timeline("yard")
            gaps = [each for each in timeline["gaps"] if each["reason"] == "camera_lost"]
            return len(timeline["spans"]) == 2 and gaps and gaps[0]

        found = wait_until(gap, 20, "a gap between two spans")
        assert abs(unix_ms(found["start"]) / 1000 - went) < 1.5
        assert back - 0.5 < unix_ms(found["end"]) / 1000 < back + 15
        assert found["text"]
        server.wait_for_objects("yard", 2, 20)
        assert server.stop() == 0
        lines = [json.loads(line) for line in miharu("ls", "yard", "--json", data=server.data).stdout.splitlines()]
        gaps = [line for line in lines if line["type"] == "gap" and line["reason"] == "camera_lost"]
        assert [gap["start"] for gap in gaps] == [found["start"]]
        assert "camera_lost" in miharu("ls", "yard", data=server.data).stdout
    assert verify(server.data)["findings"] == 0
