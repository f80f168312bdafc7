"""Live view in the WebRTC stacks of others: aiortc (Python) decodes it, pion (Go) judges its packets."""
import asyncio
import json
import time

import pytest

from aiortc_viewer import Viewer
from cameras import GStreamerCamera
from harness import Miharu, demo_url, distance, wait_until
from whep import FRAGMENT, Player, answered, credentials, fragment, go_client, in_parallel

FPS = 25


@pytest.fixture(scope="module")
def camera():
    with GStreamerCamera() as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory, camera):
    go_client()
    cameras = {"demo": demo_url(fps=FPS, audio=False), **{name: camera.url("/" + name) for name in ("pcmu", "pcma", "opus", "silent")}}
    with Miharu(tmp_path_factory.mktemp("clients"), cameras) as running:
        running.all = running.token("*")
        for name in cameras:
            answered(running, name, running.all)
        yield running


def test_aiortc_shows_every_picture_at_its_time(server):
    async def play():
        async with Viewer(server, "demo", server.all) as viewer:
            await viewer.sees(1)
            # What comes first is shown faster than it was made, until it is live.
            while server.api("/sessions")[0]["state"] != "live":
                await asyncio.sleep(0.05)
            await viewer.sees(3)
            began = len(viewer.pictures)
            await viewer.sees(3 * FPS)
            # aiortc has others too: the server's order counts.
            assert viewer.srtp_profile == "SRTP_AEAD_AES_128_GCM"
            return [number for number, _ in viewer.pictures], viewer.pictures[began:]
    numbers, lately = asyncio.run(play())
    assert None not in numbers
    steps = list(map(distance, numbers, numbers[1:]))
    # The demo camera itself leaves a picture out when it gets the processor too late; that nothing is lost on the way is for
    # the packets' numbers to tell, below.
    odd = [step for step in steps if step != 1]
    assert min(steps) == 1 and len(odd) <= 1 + len(steps) // 25, steps
    (first, since), (last, until) = lately[0], lately[-1]
    assert abs(distance(first, last) / FPS - (until - since)) < 0.5


@pytest.mark.parametrize("name", ["pcmu", "opus"])
def test_aiortc_hears_what_the_camera_says(server, name):
    async def play():
        async with Viewer(server, name, server.all) as viewer:
            await viewer.sees(20, sounds=10)
    asyncio.run(play())


def test_a_camera_that_was_away_comes_back_in_the_same_session(server, camera):
    async def play():
        async with Viewer(server, "silent", server.all) as viewer:
            await viewer.sees(10)
            session = server.api("/sessions")[0]["id"]
            camera.stop()
            await asyncio.to_thread(wait_until, lambda: server.camera("silent")["state"] != "recording", 20, "the camera is missed")
            await asyncio.to_thread(camera.start)
            await viewer.sees(20, seconds=30)
            assert [each["id"] for each in server.api("/sessions")] == [session]
    asyncio.run(play())


def test_a_restart_that_the_viewer_does_not_follow_leaves_the_session_playing(server):
    """aiortc has no ICE restart: what it goes on to send with its first credentials still counts."""
    async def play():
        async with Viewer(server, "demo", server.all) as viewer:
            await viewer.sees(10)
            reply = await viewer.ask(viewer.resource, "PATCH", fragment(credentials()), Content_Type=FRAGMENT, If_Match="*")
            assert reply.status == 200
            await viewer.sees(2 * FPS)
    asyncio.run(play())


def test_pion_gets_unbroken_numbers_with_either_cipher(server):
    """Each client offers one SRTP profile alone, so that no other can have been taken."""
    def play(camera, *arguments):
        with Player(server, camera, server.all, "-seconds", 3, *arguments) as player:
            return player.playing().finish_by_itself()
    seen = in_parallel(lambda: play("pcmu", "-srtp", "gcm128", "-audio"), lambda: play("opus", "-srtp", "cm80", "-audio"),
                       lambda: play("demo", "-srtp", "gcm128"), lambda: play("demo", "-srtp", "cm80", "-rtx=false"))
    for each in seen:
        said = json.dumps(each)
        assert each["missing"] == each["bad"] == each["twice"] == 0, said
        assert each["decodable"] == each["frames"] >= 3 * FPS - 10, said
        assert each["key_frames"] >= 3, said
    assert all(each["sound_packets"] > 10 for each in seen[:2]), seen
    assert all(each["sound_packets"] == 0 for each in seen[2:]), seen


@pytest.mark.parametrize("rtx", ["true", "false"])
def test_a_restart_of_ice_loses_nothing(server, rtx):
    with Player(server, "demo", server.all, "-srtp", "gcm128", f"-rtx={rtx}") as player:
        player.playing()
        before = player.told()["remote"]
        player.tell("restart")
        after = wait_until(lambda: (remote := player.told()["remote"]) != before and remote, 10, "it plays from another port")
        assert after.startswith("127.0.0.1:")
        player.tell("mark")
        time.sleep(1)  # the time that is judged
        seen = player.finish()
    assert seen["missing"] == seen["bad"] == 0, json.dumps(seen)
    assert seen["decodable"] == seen["frames"], json.dumps(seen)
    assert seen["since_mark"]["decodable"] > FPS / 2, json.dumps(seen)
