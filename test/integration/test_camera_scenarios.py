"""Every scenario of test/camera/scenarios at the same time, against one miharu: what was sent whole is recorded, and nothing else."""

import dataclasses
import json
import os
import re
import sys
import tomllib

import pytest
from harness import BINARY, ROOT

sys.path.insert(0, str(ROOT / "test"))
from camera.checker import check  # noqa: E402
from camera.run import Run  # noqa: E402
from camera.scenario import Audio, CameraSettings, Rtp, Urls, Video, load_all  # noqa: E402

# A regular expression chooses some: for loops over one that fails now and then.
SCENARIOS = [each for each in load_all() if re.search(os.environ.get("MIHARU_SCENARIOS", ""), each.name)]
DEADLINE = 120  # seconds for all of them: one camera is asked again after a minute only
MEMORY = 256 << 20  # bytes: a MiB a camera, and 48 MiB that wait for the disk of the one that floods us


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    if not BINARY.exists():
        pytest.skip(f"{BINARY} is not built")
    return Run(tmp_path_factory.mktemp("cameras"), SCENARIOS, DEADLINE)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.name)
def test_scenario(run, scenario, request):
    if scenario.expected_failure:
        request.applymarker(pytest.mark.xfail(reason=scenario.expected_failure, strict=True))
    problems = run.problems(scenario)
    assert not problems, scenario.title + "\n" + "\n".join(problems)


def named(name):
    found = [each for each in SCENARIOS if each.name == name]
    return found[0] if found else pytest.skip(f"{name} is not among those chosen")


def test_the_checker_notices(run):
    scenario = named("plain-audio")
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
    assert "no chunk that is flagged" in problems(damaged)
    moved = [dataclasses.replace(each, time=each.time + 60) for each in good]
    assert "away from when it was sent" in problems(moved)
    assert "another order" in problems(good[::-1])


def test_flags_of_chunks_are_noticed(run):
    """A loss that the simulator is made to forget leaves a flag without a cause."""
    scenario = named("u5-one")
    camera = run.simulator.cameras[scenario.name]
    good = camera.truth
    camera.truth = [each for each in good if each.state == "sent"]
    try:
        assert "flagged as damaged, but nothing was lost" in "\n".join(run.problems(scenario))
    finally:
        camera.truth = good


def test_nobody_was_sent_elsewhere(run):
    assert run.simulator.trapped == 0


def test_memory_stays_bounded(run, capsys):
    with capsys.disabled():
        print(f"\n{len(SCENARIOS)} cameras in {run.seconds:.0f} s (last: {run.last}), at most {run.highest >> 20} MiB")
    assert run.sanitized or run.highest < MEMORY


def test_miharu_ends_well(run):
    assert run.exit_status == 0, run.miharu.log()


def is_explicit(scenario, quirk):
    """Something in it is as the row says: a fault, a login, or settings that are not the usual ones."""
    settings = (scenario.camera, scenario.video, scenario.audio, scenario.rtp, scenario.urls)
    return (any(each.id == quirk and each.kind != "served" for each in scenario.faults) or quirk in scenario.auth.id
            or settings != (CameraSettings(), Video(), Audio(), Rtp(), Urls()))


def test_every_quirk_has_a_scenario():
    if "MIHARU_SCENARIOS" in os.environ:
        pytest.skip("some scenarios were chosen")
    known = [each["id"] for each in json.loads((ROOT / "test/data/quirks.json").read_text(encoding="utf-8"))]
    excepted = tomllib.loads((ROOT / "test/camera/exceptions.toml").read_text(encoding="utf-8"))
    told = re.findall(r"^\| ([RASTUPCO]\d+) \|", (ROOT / "docs/quirks.md").read_text(encoding="utf-8"), re.M)
    served = {quirk for each in load_all(None) for quirk in each.quirks if is_explicit(each, quirk)}
    assert served <= {*known, "hostile"}, "a scenario names a row that does not exist"
    assert [each for each in known if each not in served and each not in excepted] == [], "neither scenario nor exception"
    assert [each for each in excepted if each in served or each not in known] == [], "exceptions that are none"
    assert all(excepted.values())
    assert sorted(told) == sorted(known), "docs/quirks.md has other rows"
