"""kill -9 while recording, at random moments: nothing is corrupt and at most the last second is missing."""
import concurrent.futures
import os
import random
import time

import pytest

from harness import INTEROP, Miharu, demo_url, moments, pictures_of, verify

KILLS = int(os.environ.get("MIHARU_KILLS", 50 if INTEROP else 10))
FPS = 25
# What a kill may cost at any moment: the running part, or what is held to be placed on the clock.
LOST = 1.0
# From the start of the process to the first picture.
START = 1.0
# Encoding, and threads that wait for a busy machine.
DELAY = 0.25


def kill_again_and_again(folder, container, kills, seed):
    """Gives the server, stopped in the end, and (start, moment of the kill) of each round."""
    dice = random.Random(seed)
    server = Miharu(folder, {"demo": demo_url(fps=FPS)}, container=container)
    rounds = []
    for _ in range(kills):
        left = set(server.store.glob("tmp/*.part"))
        began = time.time()
        server.start()
        moment = began + dice.uniform(0.3, 6)
        # Nothing to verify before the first object; then as soon as what the last kill left has its name.
        while left & set(server.store.glob("tmp/*.part")) and time.time() < moment:
            time.sleep(0.02)
        if server.objects("demo"):
            verify(server.data)
        time.sleep(max(0.0, moment - time.time()))
        rounds.append((began, server.kill()))
    server.start()
    server.wait_for_span("demo", 2, 20)
    assert server.stop() == 0
    return server, rounds


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    seed = int(os.environ.get("MIHARU_SEED", random.randrange(1 << 30)))
    print(f"MIHARU_SEED={seed}")
    with concurrent.futures.ThreadPoolExecutor() as both:
        jobs = {container: both.submit(kill_again_and_again, tmp_path_factory.mktemp(f"kill-{container}"), container,
                                       (KILLS + extra) // 2, seed + extra)
                for extra, container in enumerate(("fmp4", "mpegts"))}
        return {container: job.result() for container, job in jobs.items()}


@pytest.mark.parametrize("container", ["fmp4", "mpegts"])
def test_at_most_the_running_part_is_missing(killed, container, record_property):
    server, rounds = killed[container]
    told = verify(server.data)
    assert told["findings"] == 0
    assert not list((server.store / "tmp").iterdir()), "every unfinished file became an object or held nothing"
    pictures = [picture for item in server.objects("demo") for picture in pictures_of(item)]
    assert all(picture.number is not None for picture in pictures)
    made = moments(pictures, FPS)
    assert made == sorted(set(made)), "pictures repeat or go back"

    measured = []
    wrong = []
    for number, (began, kill) in enumerate(rounds):
        of_run = [moment for moment in made if began <= moment <= kill]
        if not of_run:
            measured.append((kill - began, None))
            if kill - began > START + LOST + DELAY:
                wrong.append(f"round {number}: nothing of {kill - began:.2f} s is there")
            continue
        lost = kill - of_run[-1]
        begin = of_run[0] - began
        measured.append((kill - began, lost))
        if begin > START + DELAY:
            wrong.append(f"round {number}: recording begins {begin:.2f} s after the start")
        if lost > LOST + 1 / FPS + DELAY:
            wrong.append(f"round {number}, killed after {kill - began:.2f} s: the last {lost:.2f} s are missing")
    text = ", ".join(f"{age:.2f}: {'all' if lost is None else f'{lost:.2f}'}" for age, lost in measured)
    print(f"{container}: seconds since the start, and seconds missing: {text}")
    record_property("missing", text)
    assert not wrong, "\n".join(wrong + [text])
    # Inside a run nothing is missing at all.
    assert told["runs"] <= len(rounds) + 1
