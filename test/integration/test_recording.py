"""What is recorded is whole, decodes without a word of complaint, and tells the true time of every picture."""
import math
import shutil
import time
from fractions import Fraction

import pytest

import players
from harness import FOUND_WRONG, Miharu, assert_joined, demo_url, distance, miharu, moments, packets, pictures_of, verify


@pytest.mark.parametrize("camera", ["demo", "silent"])
def test_every_picture_is_there_once_and_at_its_time(recorder, camera):
    fps = recorder.fps[camera]
    pictures = [picture for item in recorder.objects[camera] for picture in pictures_of(item)]
    assert len(pictures) >= 20 * fps
    assert_joined([picture.number for picture in pictures])
    wrong = [(float(picture.time), picture.number) for picture in pictures
             if math.floor(picture.time * fps) % (1 << 32) != picture.number]
    assert not wrong, f"{len(wrong)} pictures are not at their time, first {wrong[0]}"


def test_objects_join_without_a_gap(recorder):
    for camera, objects in recorder.objects.items():
        assert len({item.run for item in objects}) == 1
        for before, after in zip(objects, objects[1:]):
            last, first = pictures_of(before)[-1], pictures_of(after)[0]
            # Numbers that are left out are another test's matter.
            step = Fraction(distance(last.number, first.number), recorder.fps[camera])
            assert abs(Fraction(after.start_ms, 1000) - last.time - step) < Fraction(2, 1000)


def test_sound_has_no_hole(recorder):
    times = []
    for item in recorder.objects["demo"]:
        found, base = packets(item.path, "a")
        times += [pts * base for pts, _, _ in found]
    turn = Fraction(1 << 33, 90000)
    steps = [(b - a) % turn for a, b in zip(times, times[1:])]
    frame = Fraction(1024, 48000)
    # The clock may be slewed by 500 ppm. In a run's first moments silence may stand for sound that is late; what
    # comes then does not join it to the sample.
    odd = [(i, float(step)) for i, step in enumerate(steps)
           if abs(step - frame) > Fraction(1, 1000) and not (i < 50 and step < 2 * frame)]
    assert not odd, f"steps between frames of sound that are not 21.3 ms: {odd}"


def test_verify_finds_nothing(recorder):
    told = verify(recorder.data)
    assert told["findings"] == 0
    assert told["runs"] == 2
    assert told["objects"] >= sum(len(objects) for objects in recorder.objects.values())


def test_verify_finds_a_changed_byte(recorder, tmp_path):
    item = recorder.objects["demo"][0]
    copy = tmp_path / "data/store" / item.path.relative_to(recorder.server.store)
    copy.parent.mkdir(parents=True)
    shutil.copy(recorder.server.store / "miharu-store.json", tmp_path / "data/store")
    data = bytearray(item.path.read_bytes())
    data[len(data) // 2] ^= 1
    copy.write_bytes(data)
    done = miharu("verify", data=tmp_path / "data")
    assert done.returncode == FOUND_WRONG
    assert item.path.name in done.stdout and "checksum" in done.stdout


def test_mp4box_agrees(recorder):
    if recorder.container != "fmp4":
        pytest.skip("MP4 only")
    files = [item.path for objects in recorder.objects.values() for item in objects]
    for file, tracks in zip(files, players.mp4box(files)):
        codecs = {codec.split(".")[0]: samples for codec, samples in tracks.items()}
        expected = {"avc1": len(packets(file, "v")[0])}
        if "/rec/demo/" in str(file):
            expected["mp4a"] = len(packets(file, "a")[0])
        assert codecs == expected, file


@pytest.mark.parametrize("container", ["fmp4", "mpegts"])
def test_stopping_keeps_everything_to_the_last_picture(folder, container):
    fps = 25
    with Miharu(folder, {"demo": demo_url(fps=fps)}, container=container) as server:
        server.wait_for_span("demo", 2, 20)
        stopped = time.time()
        assert server.stop() == 0
    assert verify(server.data)["findings"] == 0
    assert not list((server.store / "tmp").iterdir())
    objects = server.objects("demo")
    pictures = [picture for item in objects for picture in pictures_of(item)]
    assert all(distance(a.number, b.number) >= 1 for a, b in zip(pictures, pictures[1:]))
    missing = stopped - moments(pictures, fps)[-1]
    assert missing < 0.3, f"the last {missing:.2f} s before SIGTERM are missing"
