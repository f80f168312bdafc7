"""Hours of recording over a disk that fails at random: test/torture, docs/testing.md. It runs beside the other tests."""
import os
import pathlib
import subprocess
import tempfile

import pytest

PROGRAM = os.environ.get("MIHARU_TORTURE", "")
SECONDS = int(os.environ.get("MIHARU_TORTURE_SECONDS", 120))
# In CI always the same, so that a change is to blame for what is new; other seeds are for long runs.
SEED = int(os.environ.get("MIHARU_SEED", 20261121))

running = None
output = None


def start():
    global running, output
    if not PROGRAM:
        return
    # To a file: a pipe that nobody reads yet would stop it.
    output = tempfile.TemporaryFile("w+")
    running = subprocess.Popen(["nice", "-n", "5", PROGRAM, "--seed", str(SEED), "--seconds", str(SECONDS)],
                               stdout=output, stderr=subprocess.STDOUT)


def stop():
    if running and running.poll() is None:
        running.kill()
        running.wait()


def test_nothing_is_lost_beyond_what_is_promised():
    if not PROGRAM:
        pytest.skip("MIHARU_TORTURE does not say where record_torture is")
    assert pathlib.Path(PROGRAM).exists()
    status = running.wait(timeout=SECONDS + 600)
    output.seek(0)
    text = output.read()
    print(text)
    assert status == 0, text
