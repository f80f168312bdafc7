"""Starts miharu as a user would, and reads what it recorded with programs that are not ours."""
import functools
import http.cookiejar
import json
import os
import pathlib
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import datetime, timezone
from fractions import Fraction

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("MIHARU_BIN", ROOT / "build/release/miharu"))
INTEROP = os.environ.get("MIHARU_INTEROP") == "1"

sys.path.insert(0, str(ROOT / "test/tools"))
from frame_number import read_frame_number, seconds_of  # noqa: E402

# Exit statuses of every command.
DONE, FOUND_WRONG, CALLED_WRONGLY, COULD_NOT = 0, 1, 2, 3

# A demo camera that gets the processor too late leaves pictures out: it goes before the programs that judge it.
PRIORITY = ["nice", "-n", "-10"] if os.geteuid() == 0 else []

# The smallest picture that has a frame number: cheap to encode and to read.
WIDTH, HEIGHT = 384, 240


def demo_url(fps=12, gop="1s", audio=True):
    return f"demo:?size={WIDTH}x{HEIGHT}&fps={fps}&gop={gop}&audio={int(audio)}"


def wait_until(condition, seconds, what):
    """Polls until `condition()` is true and gives what it returned."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def unix_ms(text):
    """Unix milliseconds of an RFC 3339 time."""
    return round(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)


def miharu(*arguments, data=None, stdin="", timeout=60, env=None):
    """Runs one command to its end."""
    command = [BINARY, *map(str, arguments)]
    if data is not None:
        command += ["--data", str(data)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout,
                          env={**os.environ, **(env or {})}, check=False)


def verify(data):
    """Every object is whole, named true and continuous; gives the summary."""
    done = miharu("verify", "--json", data=data)
    assert done.returncode == DONE, f"verify: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return json.loads(done.stdout.splitlines()[-1])


class Miharu:
    """`miharu run` on a folder of its own: FOLDER/miharu.toml, FOLDER/data."""

    def __init__(self, folder, cameras=None, segment="5s", container="fmp4", more="", arguments=(), env=None):
        """`cameras`: name -> URL, or name -> lines of its [[camera]] block."""
        self.folder = pathlib.Path(folder)
        self.data = self.folder / "data"
        self.store = self.data / "store"
        self.arguments = list(arguments)
        self.env = {**os.environ, **(env or {})}
        self.process = None
        self.password = None
        self.logs = []
        blocks = []
        for name, about in (cameras or {}).items():
            lines = about if "\n" in about or "=" in about.split(":")[0] else f'url = "{about}"'
            blocks.append(f'[[camera]]\nname = "{name}"\n{lines}\n')
        config = f'[store]\npath = "data/store"\n[record]\nsegment = "{segment}"\nformat = "{container}"\n'
        self.config = self.folder / "miharu.toml"
        self.config.write_text(config + more + "\n" + "\n".join(blocks), encoding="utf-8")

    def start(self):
        number = len(self.logs)
        out, log = self.folder / f"stdout-{number}", self.folder / f"log-{number}"
        self.logs.append(log)
        with open(out, "wb") as stdout, open(log, "wb") as stderr:
            self.process = subprocess.Popen(
                [*PRIORITY, BINARY, "run", "--config", self.config, "--data", self.data, "--listen", "127.0.0.1:0", *self.arguments],
                stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=self.env)

        def said():
            text = out.read_text(encoding="utf-8")
            assert self.process.poll() is None, f"miharu ended with {self.process.returncode}\n{text}{self.log()}"
            return text if re.search(r"Open http\S+\n", text) else None

        try:
            wait_until(said, 20, "miharu tells its address")
            # All lines are written at once, but a reader may see the first alone.
            if self.password is None:
                wait_until(lambda: "password" in said(), 5, "miharu tells the first password")
        except AssertionError:
            self.kill()
            raise
        text = said()
        self.address = re.search(r"Open (http\S+)/", text)[1]
        if found := re.search(r"as admin with the password (\S+)", text):
            self.password = found[1]
        self.opener = None
        return self

    def __enter__(self):
        return self.start() if self.process is None else self

    def __exit__(self, kind, *_):
        self.stop()
        if kind is not None:
            print(self.log())

    def log(self):
        return "".join(f"--- {log.name}\n{log.read_text(encoding='utf-8', errors='replace')[-6000:]}" for log in self.logs)

    def stop(self, seconds=20):
        """SIGTERM, and gives the exit status."""
        if self.process is None:
            return None
        self.process.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"miharu did not stop within {seconds} s\n{self.log()}") from None
        finally:
            self.process = None

    def kill(self):
        """SIGKILL; gives the moment."""
        moment = time.time()
        self.process.kill()
        self.process.wait()
        self.process = None
        return moment

    def request(self, path, body=None, method=None):
        """As the page does it: signed in, with the session's cookie. Gives (status, headers, body)."""
        if self.opener is None:
            self.opener = urllib.request.build_opener(
                urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
            status, _, text = self.request("/api/v1/session", {"user": "admin", "password": self.password})
            assert status == 204, text
        request = urllib.request.Request(self.address + path, method=method)
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with self.opener.open(request, timeout=20) as response:
                return response.status, response.headers, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read()

    def api(self, path):
        status, _, body = self.request("/api/v1" + path)
        assert status == 200, (status, body)
        return json.loads(body)

    def camera(self, name):
        return next(camera for camera in self.api("/cameras")["cameras"] if camera["name"] == name)

    def timeline(self, camera, start="-1h", end="now"):
        return self.api(f"/cameras/{camera}/timeline?from={start}&to={end}")

    def wait_for_recording(self, camera, seconds=25):
        return wait_until(lambda: (about := self.camera(camera))["state"] == "recording" and about, seconds,
                          f"camera {camera} is recorded")

    def wait_for_span(self, camera, length, seconds):
        """Until one unbroken span is so long."""
        def long_enough():
            for span in self.timeline(camera)["spans"]:
                if unix_ms(span["end"]) - unix_ms(span["start"]) >= length * 1000:
                    return span
            return None
        return wait_until(long_enough, seconds, f"{length} s of {camera} are recorded")

    def wait_for_objects(self, camera, count, seconds):
        return wait_until(lambda: len(found := self.objects(camera)) >= count and found, seconds,
                          f"{count} finished objects of {camera}")

    def objects(self, camera):
        """Finished objects in their order."""
        return sorted((Object.of(path) for path in self.store.glob(f"rec/{camera}/*/*/*/*/*")),
                      key=lambda each: each.seq)

    def token(self, camera="*", rights="live,playback,export"):
        done = miharu("token", "create", camera, "--rights", rights, data=self.data)
        assert done.returncode == DONE, done.stderr
        return done.stdout.strip()

    def address_for_players(self, token, path):
        """External players send no cookie: the token is the front of the path."""
        return f"{self.address}/t/{token}{path}"


@dataclass(frozen=True)
class Object:
    """What the name of a recorded object tells (docs/formats.md), read by another hand than the program's."""

    path: pathlib.Path
    start_ms: int
    run: str
    seq: int

    @staticmethod
    def of(path):
        start, run, seq, _ = path.name.split("_", 3)
        moment = datetime.strptime(start, "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=timezone.utc)
        return Object(path, round(moment.timestamp() * 1000), run, int(seq, 36))


@dataclass(frozen=True)
class Picture:
    number: int
    time: Fraction  # as recorded, Unix seconds


def checked(command, timeout=60, quiet=True, **more):
    """Runs a program to its end: it must succeed and, when `quiet`, say nothing. Gives its standard output."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False, **more)
    said = done.stderr.decode(errors="replace")
    assert done.returncode == 0 and not (quiet and said), f"{' '.join(map(str, command))}: exit {done.returncode}\n{said}"
    return done.stdout


def packets(source, stream="v"):
    """(pts, duration, key) of a stream's packets, in units of its time base, and the time base."""
    text = checked(["ffprobe", "-v", "warning", "-select_streams", stream, "-show_entries",
                    "packet=pts,duration,flags:stream=time_base", "-of", "json", source])
    told = json.loads(text)
    base = Fraction(told["streams"][0]["time_base"]) if told["streams"] else None
    return [(each["pts"], each.get("duration"), "K" in each["flags"]) for each in told["packets"]], base


def frame_numbers(source, options=(), quiet=True):
    """Decodes picture and sound to the last bit; gives the number of each picture (None: it has none)."""
    gray = checked(["ffmpeg", "-nostdin", "-v", "warning", "-xerror", *options, "-i", source,
                    "-map", "0:v", "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "gray", "pipe:1",
                    "-map", "0:a?", "-f", "null", "-"], quiet=quiet)
    size = WIDTH * HEIGHT
    assert len(gray) % size == 0
    return [read_frame_number(gray[at:at + size], WIDTH, HEIGHT) for at in range(0, len(gray), size)]


@functools.lru_cache(maxsize=None)
def pictures_of(item):
    """The pictures of a recorded object with their recorded times."""
    times, base = packets(item.path)
    times = [pts * base for pts, _, _ in times]
    if item.path.suffix == ".ts":
        # 33 bits of 1/90000 s: the turn is that of the name.
        turn = Fraction(1 << 33, 90000)
        times = [time + turn * round((Fraction(item.start_ms, 1000) - time) / turn) for time in times]
    numbers = frame_numbers(item.path)
    assert len(numbers) == len(times)
    return [Picture(number, time) for number, time in zip(numbers, times)]


def moments(pictures, fps):
    """When pictures were made, Unix seconds."""
    return [seconds_of(picture.number, fps) for picture in pictures]


def machine_is_busy():
    return os.getloadavg()[0] > 2 * os.cpu_count()


def assert_joined(numbers):
    """Frame numbers without hole or repeat. On a machine with too much to do the demo camera itself leaves pictures out
    (docs/demo-camera.md): then a few holes are let pass, repeats never."""
    odd = [(i, step) for i, step in enumerate(map(distance, numbers, numbers[1:])) if step != 1]
    few = machine_is_busy() and all(step > 1 for _, step in odd) and len(odd) <= 1 + len(numbers) // 50
    assert not odd or few, f"holes or repeats: {odd}"


def distance(before, after):
    """From one frame number to another; they come round after 2^32."""
    return (after - before + (1 << 31)) % (1 << 32) - (1 << 31)
