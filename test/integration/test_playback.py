"""Interval and live playlists, played by programs that others wrote."""
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from statistics import median

import pytest

import players
from harness import assert_joined, distance, frame_numbers, pictures_of, seconds_of, unix_ms, wait_until


def address(recorder, camera, path):
    return recorder.server.address_for_players(recorder.token, f"/hls/{camera}/{path}")


def read(url):
    with urllib.request.urlopen(url, timeout=20) as response:
        return response.read()


class Playlist:
    def __init__(self, text):
        self.text = text
        self.lengths = [float(length) for length in re.findall(r"#EXTINF:([\d.]+)", text)]
        self.uris = [line for line in text.splitlines() if line and not line.startswith("#")]
        dates = re.findall(r"#EXT-X-PROGRAM-DATE-TIME:(\S+)", text)
        self.start_ms = unix_ms(dates[0]) if dates else None

    @property
    def end_ms(self):
        """Of a playlist without discontinuity."""
        assert "#EXT-X-DISCONTINUITY\n" not in self.text
        return self.start_ms + round(1000 * sum(self.lengths))


@pytest.fixture(scope="module")
def interval(recorder):
    """Two or three objects of the camera with sound, from inside the first one on, and what is to be found there."""
    camera = "demo"
    objects = recorder.objects[camera]
    begin, end = objects[1].start_ms + 2500, objects[2].start_ms + 3500
    url = address(recorder, camera, f"vod.m3u8?from={begin}&to={end}")
    playlist = Playlist(read(url).decode())
    assert "#EXT-X-ENDLIST" in playlist.text
    assert playlist.start_ms <= begin and playlist.end_ms >= end
    # Not a chunk more than the interval touches; a chunk is 2 s here.
    assert begin - playlist.start_ms < 2050 and playlist.end_ms - end < 2050
    within = [picture for item in objects for picture in pictures_of(item)
              if playlist.start_ms - 1 <= picture.time * 1000 < playlist.end_ms - 1]
    assert distance(within[0].number, within[-1].number) == round(sum(playlist.lengths) * recorder.fps[camera]) - 1
    return url, within


def check_counts(counts, pictures, video="h264", audio="aac", sound_slack=8):
    assert counts[video] == pictures
    expected = pictures / 12 * 48000 / 1024
    # Chunks are cut at pictures: sound on its way when the key frame came is in the next chunk.
    assert abs(counts[audio] - expected) <= sound_slack, counts


def test_ffprobe_counts_every_picture(interval):
    url, within = interval
    check_counts(players.ffprobe(url), len(within))


def test_ffmpeg_decodes_exactly_these_pictures(interval):
    url, within = interval
    numbers = frame_numbers(url)
    assert numbers == [picture.number for picture in within]


def test_playbin3(interval):
    url, within = interval
    check_counts(players.playbin3(url), len(within), "video", "audio")


def test_streamlink(interval, tmp_path):
    url, within = interval
    check_counts(players.streamlink(url, tmp_path), len(within))


def test_vlc(interval):
    url, within = interval
    counts = players.vlc(url)
    # Re-muxing, VLC leaves out what it has not finished when the list ends.
    assert len(within) - 3 <= counts["h264"] <= len(within), counts
    check_counts({**counts, "h264": len(within)}, len(within), sound_slack=20)


def test_vlc_is_heard_over_hls_and_from_a_file(interval, recorder):
    url, within = interval
    item = recorder.objects["demo"][1]
    with ThreadPoolExecutor() as pool:
        over_hls, from_file = pool.map(players.vlc_sound, [url, item.path])
    for (heard, beeps), pictures in (over_hls, len(within)), (from_file, len(pictures_of(item))):
        seconds = pictures / recorder.fps["demo"]
        assert 0.8 * seconds < heard < seconds + 0.5, (heard, seconds)
        # The camera beeps every second: the sound is not stretched, doubled or torn.
        assert len(beeps) >= 0.8 * seconds - 2, (beeps, seconds)
        assert abs(median(after - before for before, after in pairwise(beeps)) - 1) < 0.05, beeps


def test_an_interval_that_ends_now_reaches_to_the_chunk_being_written(recorder, tmp_path):
    ages = []

    def fresh():
        now = time.time() * 1000
        playlist = Playlist(read(address(recorder, "demo", "vod.m3u8?from=-20s&to=now")).decode())
        ages.append(now - playlist.end_ms)
        return playlist if "/media/demo/" in playlist.text else None

    playlist = wait_until(fresh, 12, "a growing object in the playlist")
    # The last finished chunk of 2 s, and what the encoder, the part and the disk take.
    assert max(ages) < 3000, ages
    assert "../../media/demo/" in playlist.uris[-1]
    # What grows decodes too, and its pictures follow one another.
    base = address(recorder, "demo", "")
    if recorder.container == "fmp4":
        run = playlist.uris[-1].split("/")[-2]
        init = read(base + f"init/{run}.mp4")
    else:
        init = b""
    file = tmp_path / "chunk"
    file.write_bytes(init + read(urllib.parse.urljoin(base, playlist.uris[-1])))
    numbers = frame_numbers(file)
    assert_joined(numbers)
    assert distance(numbers[0], numbers[-1]) == round(playlist.lengths[-1] * recorder.fps["demo"]) - 1


def test_live(recorder, tmp_path):
    began = time.time()
    url = address(recorder, "demo", "live.m3u8")
    numbers = frame_numbers(url, ["-t", "5"])
    assert_joined(numbers)
    assert distance(numbers[0], numbers[-1]) >= 5 * recorder.fps["demo"] - 2
    # A player begins three segments before the end.
    age = began - seconds_of(numbers[0], recorder.fps["demo"])
    assert 0 < age < 12, age


def test_gst_plays_the_interval_without_sound(recorder):
    objects = recorder.objects["silent"]
    url = address(recorder, "silent", f"vod.m3u8?from={objects[1].start_ms}&to={objects[2].start_ms}")
    counts = players.playbin3(url)
    assert counts == {"video": len(pictures_of(objects[1])), "audio": 0}


def test_a_token_opens_what_it_says_and_no_more(recorder):
    server = recorder.server
    item = recorder.objects["demo"][0]
    path = f"/hls/demo/vod.m3u8?from={item.start_ms}&to={item.start_ms + 1000}"

    def status(url):
        try:
            with urllib.request.urlopen(url, timeout=20) as response:
                return response.status
        except urllib.error.HTTPError as error:
            return error.code

    assert status(server.address + path) == 401
    assert status(server.address_for_players(server.token("demo", "playback"), path)) == 200
    assert status(server.address_for_players(server.token("silent", "playback"), path)) == 403
    assert status(server.address_for_players(server.token("demo", "live"), path)) == 403
    assert status(server.address_for_players(server.token("demo", "playback")[:-2], path)) == 401
    assert status(server.address_for_players(server.token("demo", "playback"), "/metrics")) == 403
