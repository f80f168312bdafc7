"""What real cameras described, and a whole connection that was recorded, played to miharu again."""

import asyncio
import dataclasses
import sys
import threading
import time

import pytest
from harness import ROOT, Miharu, wait_until

sys.path.insert(0, str(ROOT / "test"))
from camera.checker import check_video  # noqa: E402
from camera.recording import read_camera  # noqa: E402
from camera.replay import Piece, Tape, describe_scenarios, load, save  # noqa: E402
from camera.run import Run  # noqa: E402
from camera.scenario import load_all  # noqa: E402
from camera.simulator import Simulator  # noqa: E402

DESCRIBED = describe_scenarios()


@pytest.fixture(scope="module")
def described(tmp_path_factory, binary):
    return Run(tmp_path_factory.mktemp("described"), DESCRIBED)


@pytest.mark.parametrize("scenario", DESCRIBED, ids=lambda each: each.name)
def test_description(described, scenario):
    problems = described.problems(scenario)
    assert not problems, scenario.title + "\n" + "\n".join(problems)


def test_every_description_is_there():
    files = {each.name for each in (ROOT / "test/data/rtsp/describe").iterdir()}
    assert len(DESCRIBED) == len(files) == len({each.name for each in DESCRIBED})


class Player:
    """A tape on a port of its own, on a thread."""

    def __init__(self, tape):
        self.tape, self.ready = tape, threading.Event()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        assert self.ready.wait(10)

    def _run(self):
        async def listen():
            server = await asyncio.start_server(self.tape.serve, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            self.ready.set()

        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(listen())
        self.loop.run_forever()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))

    def stop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)


class Recorder:
    """A hook on what a camera writes."""

    def __init__(self):
        self.pieces, self.begin = [], None

    def wire(self, connection, data):
        now = time.monotonic()
        self.begin = self.begin or now
        self.pieces.append(Piece(now - self.begin, data))


def record(folder, scenario):
    """Records a connection while miharu plays it; gives the pieces and the truth about them."""
    simulator = Simulator([scenario], folder).start()
    camera = simulator.cameras[scenario.name]
    recorder = Recorder()
    camera.faults.append(recorder)
    with Miharu(folder, {"live": f'url = "{simulator.url(scenario.name)}"\ntransport = "tcp"'}):
        wait_until(lambda: camera.pictures >= 60, 60, "60 pictures")
        simulator.freeze()
    simulator.stop()
    pieces = recorder.pieces
    while pieces[-1].data.startswith(b"RTSP/"):
        pieces.pop()  # to TEARDOWN
    return pieces, camera.truth


@pytest.mark.parametrize("name", ["plain-audio", "t3-junk", "p2-gop"])
def test_recorded_connection(tmp_path, binary, name):
    scenario = next(each for each in load_all() if each.name == name)
    (tmp_path / "first").mkdir()
    pieces, truth = record(tmp_path / "first", scenario)
    save(tmp_path / "tape", pieces)
    tape = Tape(load(tmp_path / "tape"))
    assert tape.pieces[3].data == pieces[3].data
    player = Player(tape)
    (tmp_path / "again").mkdir()
    with Miharu(tmp_path / "again", {"tape": f'url = "rtsp://127.0.0.1:{player.port}/{name}"\ntransport = "tcp"'}) as miharu:
        wait_until(lambda: tape.finished, 60, "the end of the tape")
        played = time.time()
        time.sleep(1)
    player.stop()
    samples, _ = read_camera(miharu.store, "tape")
    # The tape was played later than it was recorded.
    later = played - max(each.time for each in truth)
    moved = [dataclasses.replace(each, time=each.time + later) for each in truth]
    assert sum(each.track == "video" for each in samples) >= 55
    camera = dataclasses.make_dataclass("Told", ["truth", "latest"])(moved, 1.0)
    assert not check_video(scenario, camera, samples)
