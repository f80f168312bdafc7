"""`miharu export` gives exactly the pictures asked for."""
import json
from fractions import Fraction

import pytest

import players
from harness import COULD_NOT, DONE, checked, frame_numbers, miharu, pictures_of


# From and to, in ms behind the start of the second object; it and those behind it are 6 s long.
BOUNDS = [(0, 4000), (1237, 9871), (777, 778 + 83), (1999, 2001), (5950, 6050)]


@pytest.mark.parametrize("camera", ["demo", "silent"])
@pytest.mark.parametrize("begin, end", BOUNDS)
def test_exactly_the_pictures_asked_for(recorder, camera, begin, end, tmp_path):
    objects = recorder.objects[camera]
    begin, end = objects[1].start_ms + begin, objects[1].start_ms + end
    within = [picture for item in objects for picture in pictures_of(item)
              if Fraction(begin, 1000) <= picture.time < Fraction(end, 1000)]
    out = tmp_path / "out.mp4"
    done = miharu("export", camera, "--from", begin, "--to", end, "-o", out, data=recorder.data)
    if not within:
        assert done.returncode == COULD_NOT, done.stderr
        return
    assert done.returncode == DONE, done.stderr
    assert frame_numbers(out) == [picture.number for picture in within]
    told = json.loads(checked(["ffprobe", "-v", "error", "-show_entries", "stream=codec_type,duration", "-of", "json", out]))
    streams = {stream["codec_type"]: float(stream["duration"]) for stream in told["streams"]}
    assert set(streams) == ({"video", "audio"} if camera == "demo" else {"video"})
    length = len(within) / recorder.fps[camera]
    for kind, duration in streams.items():
        assert abs(duration - length) < 0.1, (kind, duration, length)


def test_mp4box_reads_an_export(recorder, tmp_path):
    objects = recorder.objects["demo"]
    out = tmp_path / "out.mp4"
    done = miharu("export", "demo", "--from", objects[1].start_ms, "--to", objects[2].start_ms, "-o", out,
                  data=recorder.data)
    assert done.returncode == DONE, done.stderr
    [tracks] = players.mp4box([out])
    counts = players.ffprobe(out)
    assert {codec.split(".")[0]: samples for codec, samples in tracks.items()} == {
        "avc1": counts["h264"], "mp4a": counts["aac"]}


def test_what_is_not_recorded_cannot_be_exported(recorder, tmp_path):
    done = miharu("export", "demo", "--from", "2020-01-01T00:00:00Z", "--to", "2020-01-01T00:01:00Z", "-o",
                  tmp_path / "out.mp4", data=recorder.data)
    assert done.returncode == COULD_NOT
    assert "nothing of camera demo is recorded" in done.stderr
    assert not list(tmp_path.iterdir())
