"""A disk that fills, a store that is not there, a store that somebody else uses."""
import os
import shutil
import subprocess
import time

import pytest

from harness import COULD_NOT, Miharu, demo_url, frame_numbers, unix_ms, verify, wait_until

MEGABYTE = 1 << 20


def mount(*arguments):
    mounted = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")


@pytest.fixture(params=["tmpfs", "ext4"])
def small_disk(folder, request):
    """A file system of its own at the place of the store: 200 MB of memory, or a disk of 96 MB."""
    place = folder / "data/store"
    place.mkdir(parents=True)
    if request.param == "tmpfs":
        mount("-t", "tmpfs", "-o", "size=200m", "miharu-test", place)
    else:
        image = make_disk(folder)
        mount("-o", "loop", image, place)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def make_disk(folder):
    image = folder / "disk"
    with open(image, "wb") as file:
        file.truncate(96 * MEGABYTE)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
    return image


def fill(place):
    """Takes all that is free, what was freed since the last call as well; gives the file."""
    ballast = place / "ballast"
    with open(ballast, "ab") as file:
        size = file.tell()
        for step in (8 * MEGABYTE, 4096):
            while True:
                try:
                    os.posix_fallocate(file.fileno(), size, step)
                except OSError:
                    break
                size += step
        file.truncate(size)
    return ballast


def holes(stretches, start, end):
    """What of [start, end] is in none of the stretches."""
    found = []
    for stretch in sorted(stretches, key=lambda each: each["start"]):
        until = unix_ms(stretch["start"]) / 1000
        if until > start:
            found.append((start, min(until, end)))
        start = max(start, unix_ms(stretch["end"]) / 1000)
        if start >= end:
            return found
    return [*found, (start, end)]


def test_a_full_disk_is_a_gap_and_recording_goes_on_when_there_is_room(folder, small_disk):
    with Miharu(folder, {"demo": demo_url(gop="500ms")}) as server:
        objects = server.wait_for_objects("demo", 1, 25)
        fill(small_disk)
        full = time.time()
        about = wait_until(lambda: (found := server.camera("demo"))["state"] == "disk_trouble" and found, 30,
                           "the full disk is noticed")
        assert "space" in about["last_error"].lower(), about["last_error"]
        status, _, body = server.request("/readyz")
        assert status == 503 and b"demo" in body
        # The oldest recordings go when the disk is full, even if somebody else filled it.
        wait_until(lambda: not objects[0].path.exists(), 10, "the oldest object is deleted")

        # That may be room enough to go on. Somebody who takes it too makes the trouble last: from two seconds on it
        # is marked.
        noticed = time.time()
        troubles = [(noticed, noticed)]

        def trouble_lasts():
            fill(small_disk)
            now = time.time()
            if server.camera("demo")["state"] == "disk_trouble":
                troubles[-1] = (troubles[-1][0], now)
            else:
                troubles.append((now, now))
            return now - troubles[-1][0] > 4
        wait_until(trouble_lasts, 60, "the disk stays full for four seconds")
        (small_disk / "ballast").unlink()
        freed = time.time()
        wait_until(lambda: server.camera("demo")["state"] == "recording", 40, "recording goes on")
        returned = wait_until(lambda: [span for span in server.timeline("demo")["spans"]
                                       if unix_ms(span["end"]) / 1000 > freed + 1], 20, "a new span")
        told = server.timeline("demo")
        gaps = [gap for gap in told["gaps"] if gap["reason"] == "disk"]
        for since, until in troubles:
            # A part is on disk a moment after its first picture.
            if until - since > 3.5:
                assert not holes(gaps, since, until - 1.5), (troubles, told)
        assert any("space" in gap["text"].lower() for gap in gaps), gaps
        # What was recorded before the trouble, or in between, may have been deleted since.
        explained = told["spans"] + gaps + [gap for gap in told["gaps"] if gap["reason"] == "retention"]
        missing = [hole for hole in holes(explained, full - 1, unix_ms(returned[-1]["end"]) / 1000) if
                   hole[1] - hole[0] >= 2]
        assert not missing, (missing, told)
        server.wait_for_objects("demo", 1, 25)
        assert full < noticed
        assert server.stop() == 0
        for item in server.objects("demo"):
            assert frame_numbers(item.path)
        # Nothing is corrupt. (What was deleted to make room is missing in front, which is no finding.)
        verify(server.data)
        assert not list((server.store / "tmp").iterdir())


def test_the_oldest_go_when_less_than_free_is_left(folder, small_disk):
    """`free` asks for more than there is: at the first look everything but the newest must go."""
    with Miharu(folder, {"demo": demo_url(gop="500ms")}) as server:
        server.wait_for_objects("demo", 3, 30)
        assert server.stop() == 0
        before = server.objects("demo")
    (small_disk / "ballast").write_bytes(b"\0" * (shutil.disk_usage(small_disk).free // 2))
    # Just below what is free now, less one object: the first of them must go and no more.
    room = os.statvfs(small_disk)
    free = room.f_bavail * room.f_frsize
    oldest = before[0].path.stat().st_size
    # The next object's file is preallocated with 8 MiB, which counts as used.
    text = server.config.read_text(encoding="utf-8").replace(
        'path = "data/store"', f'path = "data/store"\nkeep = {{ free = "{free + oldest // 2}B" }}')
    server.config.write_text(text, encoding="utf-8")
    with server:
        wait_until(lambda: not before[0].path.exists(), 15, "the oldest object is deleted")
        server.wait_for_objects("demo", 1, 20)
        assert server.stop() == 0
    kept = [item.path for item in server.objects("demo")]
    deleted = [item.path in kept for item in before]
    assert deleted == sorted(deleted), "a newer one went before an older one"
    verify(server.data)


def test_a_disk_that_is_taken_away_is_a_gap_and_gets_nothing_in_its_place(folder):
    place = folder / "data/store"
    place.mkdir(parents=True)
    image = make_disk(folder)
    mount("-o", "loop", image, place)
    mounted = True
    try:
        with Miharu(folder, {"demo": demo_url(gop="500ms")}) as server:
            server.wait_for_objects("demo", 1, 25)
            # As by hand while it is in use: what is open stays open, names are gone.
            subprocess.run(["umount", "-l", place], check=True)
            mounted = False
            away = time.time()
            wait_until(lambda: server.camera("demo")["state"] == "disk_trouble", 45, "the missing disk is noticed")
            assert "mounted" in server.camera("demo")["last_error"], server.camera("demo")
            assert not list(place.iterdir()), "something was written where the disk is not"
            time.sleep(3)  # how long it is away: a gap is marked from two seconds on
            mount("-o", "loop", image, place)
            mounted = True
            back = time.time()
            wait_until(lambda: server.camera("demo")["state"] == "recording", 45, "recording goes on")
            wait_until(lambda: [span for span in server.timeline("demo")["spans"]
                                if unix_ms(span["end"]) / 1000 > back + 2], 20, "a new span")
            gaps = [gap for gap in server.timeline("demo")["gaps"] if gap["reason"] == "disk"]
            assert any(unix_ms(gap["end"]) / 1000 > away for gap in gaps), gaps
            assert server.stop() == 0
        verify(server.data)
        assert not list((place / "tmp").iterdir())
    finally:
        if mounted:
            subprocess.run(["umount", "-l", place], check=True)


def test_two_cannot_record_to_one_store(folder):
    with Miharu(folder, {"demo": demo_url()}) as first:
        again = Miharu(folder, {"demo": demo_url()})
        with pytest.raises(AssertionError, match="another miharu records to .*store; stop it first"):
            again.start()
        elsewhere = folder / "elsewhere"
        elsewhere.mkdir()
        other = Miharu(elsewhere, {"demo": demo_url()})
        other.config.write_text(other.config.read_text(encoding="utf-8").replace(
            'path = "data/store"', f'path = "{first.store}"'), encoding="utf-8")
        with pytest.raises(AssertionError, match=f"ended with {COULD_NOT}(.|\n)*another miharu records to"):
            other.start()
        first.wait_for_recording("demo")


def test_a_store_without_its_identity_is_not_recorded_into(folder):
    server = Miharu(folder, {"demo": demo_url()})
    with server:
        server.wait_for_span("demo", 1, 20)
        server.stop()
    identity = server.store / "miharu-store.json"
    text = identity.read_text(encoding="utf-8")
    identity.unlink()
    with pytest.raises(AssertionError, match=r"ended with 3(.|\n)*(mount|miharu-store\.json)"):
        server.start()
    # An empty folder: the disk is not mounted.
    store = server.store.rename(folder / "unmounted")
    server.store.mkdir()
    with pytest.raises(AssertionError, match=r"ended with 3(.|\n)*mount"):
        server.start()
    assert not list(server.store.iterdir()), "nothing was written into it"
    server.store.rmdir()
    store.rename(server.store)
    identity.write_text(text, encoding="utf-8")
    with server:
        server.wait_for_recording("demo")
    assert verify(server.data)["runs"] == 2
