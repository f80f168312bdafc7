"""Every scenario of test/camera/scenarios at the same time, against one miharu: what was sent whole is recorded, and nothing else."""

import dataclasses
import json
import re
import sys
import time

import pytest
from harness import BINARY, ROOT, Miharu

sys.path.insert(0, str(ROOT / "test"))
from camera.checker import check  # noqa: E402
from camera.scenario import load_all  # noqa: E402
from camera.simulator import Simulator  # noqa: E402

SCENARIOS = load_all()
DEADLINE = 60  # seconds for all of them
SETTLE = 1.0  # seconds that miharu has to read and write what was sent last
MEMORY = 256 << 20  # bytes, for about 150 cameras of which eight are hostile


class Run:
    """One miharu, one simulator, all cameras; what came of it is kept for the tests."""

    def __init__(self, folder, scenarios):
        self.scenarios = scenarios
        self.statuses, self.errors = {}, {}
        self.highest = 0
        self.simulator = Simulator(scenarios, folder).start()
        env, blocks = {}, {}
        for number, each in enumerate(scenarios):
            lines = [f"url = {json.dumps(self.simulator.url(each.name))}", f"transport = {json.dumps(each.camera.transport)}"]
            if each.camera.user:
                env[f"CAMERA_{number}"] = each.camera.password
                lines += [f"user = {json.dumps(each.camera.user)}", f'password = "${{CAMERA_{number}}}"']
            blocks[each.name] = "\n".join(lines)
        self.miharu = Miharu(folder, blocks, env=env).start()
        try:
            self.wait()
            self.simulator.freeze()
            time.sleep(SETTLE)
            self.look()
            self.exit_status = self.miharu.stop()
        finally:
            self.simulator.stop()
            if self.miharu.process:
                self.miharu.kill()
        self.store = self.miharu.store

    def look(self):
        for about in self.miharu.api("/cameras")["cameras"]:
            if about["last_error"]:
                self.errors.setdefault(about["name"], set()).add(about["last_error"])
            self.statuses[about["name"]] = about
        self.highest = max(self.highest, memory_of(self.miharu.process.pid))

    def done(self, scenario):
        if scenario.expect.recording == "none":
            pattern = scenario.expect.error
            return not pattern or any(re.search(pattern, each) for each in self.errors.get(scenario.name, ()))
        return self.simulator.cameras[scenario.name].pictures >= scenario.expect.units

    def wait(self):
        begin = time.monotonic()
        self.unfinished = self.scenarios
        while self.unfinished and time.monotonic() - begin < DEADLINE:
            self.last = self.unfinished[-1].name
            time.sleep(0.25)
            self.look()
            self.unfinished = [each for each in self.unfinished if not self.done(each)]
        self.seconds = time.monotonic() - begin


def memory_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1]) * 1024


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    if not BINARY.exists():
        pytest.skip(f"{BINARY} is not built")
    return Run(tmp_path_factory.mktemp("cameras"), SCENARIOS)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.name)
def test_scenario(run, scenario, request):
    if scenario.expected_failure:
        request.applymarker(pytest.mark.xfail(reason=scenario.expected_failure, strict=True))
    camera = run.simulator.cameras[scenario.name]
    problems = check(scenario, camera, run.statuses[scenario.name], run.store)
    if scenario.name in {each.name for each in run.unfinished}:
        problems.insert(0, f"not done within {DEADLINE} s: {camera.pictures} pictures sent; {run.errors.get(scenario.name)}")
    assert not problems, scenario.title + "\n" + "\n".join(problems)


def test_the_checker_notices(run):
    scenario = next(each for each in SCENARIOS if each.name == "plain-audio")
    camera, status = run.simulator.cameras[scenario.name], run.statuses[scenario.name]
    good = camera.truth

    def problems(truth):
        camera.truth = truth
        try:
            return "\n".join(check(scenario, camera, status, run.store))
        finally:
            camera.truth = good

    pictures = [i for i, each in enumerate(good) if each.track == "video"]
    for at in (pictures[0], pictures[7], pictures[20]):
        without, damaged, twice = list(good), list(good), list(good)
        del without[at]
        damaged[at] = dataclasses.replace(good[at], state="damaged")
        twice.insert(at, dataclasses.replace(good[at], hash="of another"))
        assert "never sent whole" in problems(without)
        assert "should have been dropped" in problems(damaged)
        assert "not recorded" in problems(twice)
    moved = [dataclasses.replace(each, time=each.time + 60) for each in good]
    assert "away from when it was sent" in problems(moved)
    assert "another order" in problems(good[::-1])


def test_memory_stays_bounded(run, capsys):
    with capsys.disabled():
        print(f"\n{len(SCENARIOS)} cameras in {run.seconds:.0f} s (last: {run.last}), at most {run.highest >> 20} MiB")
    assert run.highest < MEMORY


def test_miharu_ends_well(run):
    assert run.exit_status == 0


def test_which_quirks_have_a_scenario(capsys):
    known = [each["id"] for each in json.loads((ROOT / "test/data/quirks.json").read_text(encoding="utf-8"))]
    served = set().union(*(each.quirks for each in SCENARIOS))
    assert served <= {*known, "hostile"}, "a scenario names a row that does not exist"
    with capsys.disabled():
        print(f"\nquirks with a scenario: {' '.join(each for each in known if each in served)}")
        print(f"without one so far:    {' '.join(each for each in known if each not in served)}")
