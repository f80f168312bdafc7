"""What takes a miharu of its own: hostile cameras beside a good one, a recorder that does not read, and a whole fleet."""

import os
import signal
import sys

import pytest
from harness import ROOT, wait_until

sys.path.insert(0, str(ROOT / "test"))
from camera.fleet import fleet  # noqa: E402
from camera.run import Run  # noqa: E402
from camera.scenario import load_all, parse  # noqa: E402

HOSTILE = [each for each in load_all() if "hostile" in each.quirks]
ROOM = 160 << 20  # bytes for a dozen hostile cameras: 48 MiB that wait for the disk, 32 MiB that a run is held in, and buffers
FLEET_SEED = os.environ.get("MIHARU_FLEET_SEED", "1")


def good(name, **settings):
    return parse({"name": name, "title": "nothing is wrong", "audio": {"codec": "aac"}, "expect": {"audio": "exact", "units": 200},
                  **settings}, name)


class TestHostility:
    @pytest.fixture(scope="class")
    def run(self, tmp_path_factory, binary):
        return Run(tmp_path_factory.mktemp("hostile"), [good("good"), good("good-udp", camera={"transport": "udp"}), *HOSTILE], 120)

    @pytest.mark.parametrize("name", ["good", "good-udp"])
    def test_good_cameras_lose_nothing(self, run, name):
        scenario = next(each for each in run.scenarios if each.name == name)
        assert run.problems(scenario) == []

    @pytest.mark.parametrize("scenario", HOSTILE, ids=lambda each: each.name)
    def test_hostile_camera(self, run, scenario):
        assert run.problems(scenario) == []

    def test_memory(self, run, capsys):
        with capsys.disabled():
            print(f"\n{len(HOSTILE)} hostile cameras: from {run.base >> 20} to {run.highest >> 20} MiB")
        assert run.sanitized or run.highest < run.base + ROOM

    def test_nobody_was_sent_elsewhere(self, run):
        assert run.simulator.trapped == 0

    def test_ends_well(self, run):
        assert run.exit_status == 0, run.miharu.log()


class TestStoppedReader:
    """miharu is stopped for some seconds, so that the window of each connection shuts for real."""

    CAMERAS = load_all("stopped")

    @pytest.fixture(scope="class")
    def run(self, tmp_path_factory, binary):
        def stop(run):
            pid = run.miharu.process.pid
            forgetful = run.simulator.cameras["forgetful"].faults[0]
            counts = {name: camera.pictures for name, camera in run.simulator.cameras.items()}
            os.kill(pid, signal.SIGSTOP)
            try:
                # How much goes into a connection whose window is shut is the kernel's business.
                wait_until(lambda: forgetful.cut and forgetful.lost, 60, "a frame of which the socket took a part, and one that it refused")
                wait_until(lambda: all(camera.pictures >= counts[name] + 80 for name, camera in run.simulator.cameras.items()), 60,
                           "four seconds of pictures")
            finally:
                os.kill(pid, signal.SIGCONT)
            wait_until(lambda: all(camera.pictures >= counts[name] + 160 for name, camera in run.simulator.cameras.items()), 60,
                       "four seconds more")

        return Run(tmp_path_factory.mktemp("stopped"), self.CAMERAS, 60, stop)

    @pytest.mark.parametrize("scenario", CAMERAS, ids=lambda each: each.name)
    def test_what_was_sent_whole_is_recorded(self, run, scenario):
        assert run.problems(scenario) == []

    def test_the_window_was_shut(self, run):
        fault = run.simulator.cameras["forgetful"].faults[0]
        assert fault.cut > 0 and fault.lost > 0


class TestFleet:
    SCENARIOS = fleet(FLEET_SEED)

    @pytest.fixture(scope="class")
    def run(self, tmp_path_factory, binary):
        return Run(tmp_path_factory.mktemp("fleet"), self.SCENARIOS, 90)

    @pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.name)
    def test_camera(self, run, scenario):
        problems = run.problems(scenario)
        assert not problems, f"seed {FLEET_SEED}: {scenario.title}\n" + "\n".join(problems)

    def test_faults_met(self, run):
        """The fleet is no fleet of good cameras."""
        assert len({each.kind for scenario in self.SCENARIOS for each in scenario.faults}) >= 15
