import pathlib
import shutil
import tempfile
import types

import pytest

import test_faults
from harness import BINARY, Miharu, demo_url


def pytest_report_header():
    return f"miharu: {BINARY}"


def pytest_collection_modifyitems(items):
    """What only waits for a program of its own comes last, and that program runs beside all others."""
    items.sort(key=lambda item: item.module.__name__ == "test_faults")


def pytest_collection_finish(session):
    if not session.config.option.collectonly and any(item.module.__name__ == "test_faults" for item in session.items):
        test_faults.start()


def pytest_sessionfinish():
    test_faults.stop()


@pytest.fixture(scope="session", autouse=True)
def binary():
    if not BINARY.exists():
        pytest.exit(f"there is no program at {BINARY}: build it, or set MIHARU_BIN", returncode=3)


@pytest.fixture
def folder(tmp_path):
    """A folder that is removed when the test has passed; pytest keeps those of failures."""
    return tmp_path


@pytest.fixture(scope="session")
def public_folder():
    """One that programs of another user can read."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="miharu-test-"))
    path.chmod(0o777)
    yield path
    shutil.rmtree(path, ignore_errors=True)


FPS = {"demo": 12, "silent": 10}


@pytest.fixture(scope="session")
def recorders(tmp_path_factory, binary):
    """Demo cameras with and without sound, recorded in both containers while the whole session lasts."""
    running = {}
    try:
        for container in ("fmp4", "mpegts"):
            running[container] = Miharu(
                tmp_path_factory.mktemp(container),
                {"demo": demo_url(fps=FPS["demo"], gop="1s"), "silent": demo_url(fps=FPS["silent"], gop="2s", audio=False)},
                container=container).start()
        yield running
    finally:
        for each in running.values():
            each.stop()


@pytest.fixture(scope="session", params=["fmp4", "mpegts"])
def recorder(request, recorders):
    """One of them when 25 s of each camera are recorded and four objects are finished."""
    server = recorders[request.param]
    for camera in FPS:
        server.wait_for_span(camera, 25, 60)
    objects = {camera: server.wait_for_objects(camera, 4, 30) for camera in FPS}
    return types.SimpleNamespace(server=server, container=request.param, objects=objects, fps=FPS,
                                 token=server.token(), data=server.data)
