"""What the benchmarks share: processes, their CPU and memory, and the clips that the cameras play."""
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time
import urllib.request

TICKS = os.sysconf("SC_CLK_TCK")
SERVER_CORE, CLIENT_CORE = "0", "1"  # the server has one to itself
FPS = 30

# 20 s, 1080p30, one key frame in 4 s. Noise, so that no two frames are alike: each is known by its hash.
CLIPS = {
    "opus-4m": (["-b:v", "4M", "-minrate", "4M", "-maxrate", "4M", "-bufsize", "4M"], ["-c:a", "libopus", "-b:a", "64k"]),
    "aac-4m": (["-b:v", "4M", "-minrate", "4M", "-maxrate", "4M", "-bufsize", "4M"], ["-c:a", "aac", "-b:a", "64k"]),
    "silent-4m": (["-b:v", "4M", "-minrate", "4M", "-maxrate", "4M", "-bufsize", "4M"], ["-an"]),
    "opus-2m": (["-b:v", "2M", "-minrate", "2M", "-maxrate", "2M", "-bufsize", "2M"], ["-c:a", "libopus", "-b:a", "32k"]),
}


def cache_folder():
    """Outside of the tree; what is made once stays there."""
    home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    folder = pathlib.Path(os.environ.get("MIHARU_CACHE") or pathlib.Path(home) / "miharu") / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def clip(name):
    path = cache_folder() / f"{name}.mkv"
    if path.exists():
        return path
    video, audio = CLIPS[name]
    unfinished = path.with_name(f".{name}.mkv")
    subprocess.run(["ffmpeg", "-y", "-v", "error", "-f", "lavfi", "-i", f"testsrc2=size=1920x1080:rate={FPS},noise=alls=6:allf=t",
                    "-f", "lavfi", "-i", "anoisesrc=r=48000:a=0.05", "-t", "20", "-c:v", "libx264", "-preset", "ultrafast",
                    "-profile:v", "baseline", "-g", "120", "-keyint_min", "120", "-bf", "0", "-sc_threshold", "0", *video,
                    "-ac", "2", *audio, unfinished], check=True)
    unfinished.rename(path)
    return path


def on_core(core, command):
    return ["taskset", "-c", core, *map(str, command)]


def stat_fields(pid):
    text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    return [text[text.index("(") + 1:text.rindex(")")], *text.rsplit(")", 1)[1].split()]


def cpu_seconds(pid):
    """User and system time of all threads. /proc/PID/stat counts ticks of 10 ms; schedstat knows nanoseconds, but only of threads
    that are there now: a server's stay."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def waited_seconds(pid):
    """Of all threads that are there now: ready to run while others had the processor. Much of it says that the machine was not idle."""
    return sum(int((task / "schedstat").read_text().split()[1]) for task in pathlib.Path(f"/proc/{pid}/task").iterdir()) / 1e9


def kernel_write_back():
    """Seconds of CPU by process of the kernel's threads that write pages back: workers and the journal's. Whoever else keeps workers
    busy is in it."""
    seconds = {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = stat_fields(entry.name)
            if fields[2] == "2" and fields[0].startswith(("kworker", "jbd2", "kswapd")):
                seconds[entry.name] = int((entry / "schedstat").read_text().split()[0]) / 1e9
        except OSError:
            continue  # it ended
    return seconds


def kernel_write_back_since(before):
    """Those that ended meanwhile are left out, new ones are in."""
    return sum(seconds - before.get(pid, 0) for pid, seconds in kernel_write_back().items())


def memory_mb(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return {name: int(re.search(rf"{key}:\s+(\d+)", status)[1]) / 1024 for name, key in (("rss", "VmRSS"), ("peak", "VmHWM"))}


def system_calls(pid, seconds=10):
    """A second, each by its name. It costs the process much: never while CPU is measured."""
    done = subprocess.run(["timeout", "-s", "INT", str(seconds), "strace", "-c", "-f", "-p", str(pid)], capture_output=True, text=True, check=False)
    calls = {}
    for line in done.stderr.splitlines():
        words = line.split()
        if len(words) >= 5 and words[3].isdigit() and words[-1] != "total":
            calls[words[-1]] = int(words[3]) / seconds
    if not calls:
        raise RuntimeError("strace counted nothing: " + done.stderr[-300:])
    return calls


class Cameras:
    """rtsp_cameras on the clients' core."""

    def __init__(self, program, name, together=False):
        self.process = subprocess.Popen(on_core(CLIENT_CORE, [program, clip(name), *(["together"] if together else [])]),
                                        stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(timeout=10)
        return json.loads(out)


class Network:
    """A pair of virtual Ethernet devices: the server's end here, the clients' in a network namespace of their own. Needs root."""

    address, theirs = "10.203.77.1", "10.203.77.2"

    def __enter__(self):
        self.name = f"miharu{os.getpid()}"
        here, there = f"mh{os.getpid()}", f"mc{os.getpid()}"
        for command in (f"netns add {self.name}", f"link add {here} type veth peer name {there} netns {self.name}",
                        f"addr add {self.address}/30 dev {here}", f"link set {here} up",
                        f"-n {self.name} addr add {self.theirs}/30 dev {there}", f"-n {self.name} link set {there} up"):
            subprocess.run(["ip", *command.split()], check=True)
        return self

    def __exit__(self, *_):
        # The devices go with it.
        subprocess.run(["ip", "netns", "del", self.name], check=True)

    def there(self, command):
        return ["ip", "netns", "exec", self.name, *command]


class Miharu:
    """On its core, on the store that is given; ready when its address answers. Its doors are open on loopback only."""

    def __init__(self, program, folder, store=None, cameras=(), core=SERVER_CORE, address="127.0.0.1", more="", env=None):
        folder = pathlib.Path(folder)
        self.store = pathlib.Path(store or folder / "store")
        config = folder / "miharu.toml"
        self.address, self.prefix = address, ""
        lines = ['[server]', f'listen = "{address}:0"', '[store]', f'path = "{self.store}"']
        if address == "127.0.0.1":
            lines += ['[auth]', 'mode = "none"']
        for name, url in cameras:
            lines += ["[[camera]]", f'name = "{name}"', f'url = "{url}"']
        config.write_text("\n".join(lines) + "\n" + more)
        began = time.monotonic()
        self.process = subprocess.Popen(on_core(core, [program, "run", "--config", config, "--data", folder / "data"]),
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, **(env or {})})
        self.log = []
        while True:
            line = self.process.stdout.readline()
            if not line:
                raise RuntimeError("miharu did not start: " + "".join(self.log))
            self.log.append(line)
            if found := re.search(rf"http://{re.escape(address)}:(\d+)", line):
                break
        self.port = int(found[1])
        if address != "127.0.0.1":
            done = subprocess.run([program, "token", "create", "*", "--rights", "live,playback", "--data", folder / "data"], capture_output=True, text=True, check=True)
            self.prefix = f"/t/{done.stdout.strip()}"
        self.get("/healthz")
        self.ready_ms = 1000 * (time.monotonic() - began)
        self.pid = self.process.pid
        # Nobody reads on: a full pipe must not hold the server up.
        self.drain = subprocess.Popen(["cat"], stdin=self.process.stdout, stdout=subprocess.DEVNULL)

    @property
    def url(self):
        """What goes before a path."""
        return f"http://{self.address}:{self.port}{self.prefix}"

    def get(self, path, **headers):
        """Milliseconds and body."""
        request = urllib.request.Request(f"{self.url}{path}", headers={"Accept-Encoding": "gzip", **headers})
        began = time.monotonic()
        with urllib.request.urlopen(request, timeout=30) as answer:
            body = answer.read()
        return 1000 * (time.monotonic() - began), body

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        self.drain.wait(10)


def work_folder():
    """On the file system of the cache folder: /tmp may be in memory, and the disk is a part of what is measured."""
    return tempfile.TemporaryDirectory(prefix="run-", dir=cache_folder())
