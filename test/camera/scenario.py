"""A scenario: one camera, what it sends, what is wrong with it, and what has to come of it. Read from scenarios/*.toml.

A file holds one camera, or several under [[scenario]]. The keys are those of the classes below; a wrong one is an error."""

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path

SCENARIOS = Path(__file__).parent / "scenarios"


@dataclass
class CameraSettings:
    """How miharu is told about it."""

    transport: str = "auto"
    user: str = ""
    password: str = ""
    query: str = ""  # behind the URL's path
    tls: str = ""  # RTSPS with a certificate that the camera has signed itself: any (is accepted), pinned, other (is pinned)
    own_port: bool = False  # it listens alone, so that it can be away


@dataclass
class Video:
    fps: float = 10
    gop: int = 10
    gops: list = field(default_factory=list)  # lengths in turn, in place of `gop`
    slices: int = 1
    key_bytes: int = 5000
    bytes: int = 900
    in_band: str = "all"  # key frames that carry parameter sets: all, first, none
    sprop: bool = True
    aud: bool = False
    sei: bool = False
    poc_type: int = 2
    recovery: bool = False  # recovery points in place of IDR pictures
    timing: int = 25  # pictures a second that the SPS tells, whatever is true
    encoder: str = ""  # a stream of x264's in place of noise: see media.STYLES
    packet: int = 1200
    aggregate: bool = False  # parameter sets in a STAP-A
    control: str = "trackID=0"


@dataclass
class Audio:
    codec: str = "none"  # aac, pcmu, pcma, opus, l16, g726
    rate: int = 8000  # of AAC
    control: str = "trackID=1"


@dataclass
class Rtp:
    sequence: int | None = None  # of the first packet
    timestamp: int | None = None
    reports: str = "good"  # sender reports: good, none, 1900, 1970, local, steps
    payload_type: int = 96
    audio_payload_type: int = 0  # 0 = the usual one, -1 = 0


@dataclass
class Urls:
    """With {host}, {path} and {url}; "" is not checked."""

    video: str = "{url}/trackID=0"
    audio: str = "{url}/trackID=1"
    play: str = ""
    content_base: str = "{url}/"


@dataclass
class Auth:
    id: list = field(default_factory=list)
    offers: list = field(default_factory=list)  # WWW-Authenticate values with {nonce}
    accepts: str = ""  # what the client has to use: basic, md5, sha-256
    user: str = "viewer"
    password: str = "correct horse"
    realm: str = "camera"
    nonce_requests: int = 0  # a nonce is good for so many requests; 0 = for ever
    nonce_seconds: float = 0  # and for so long
    lock_at: int = 0  # from this picture on every password is refused, as after too many failures
    for_ever: bool = False  # no answer is ever right


@dataclass
class Expect:
    recording: str = "all"  # all, none, any
    units: int = 35  # that have to be sent before the scenario is done
    oddities: list = field(default_factory=list)  # quirks that miharu has to have counted
    transport: str = ""
    connects: int = 1  # at most
    least_connects: int = 1
    runs: str = "r"  # why each run of the recording began; "*" = whatever
    flags: bool = True  # chunks are flagged where something was lost, and nowhere else
    dependent: int = 0  # chunks, at least, that do not begin with a key frame
    error: str = ""  # regular expression of the last error
    audio: str = ""  # exact, present, none
    tolerance: float = 1.0  # seconds between sending and the place in the recording
    requests: int = 0  # at most; 0 = any
    silence: bool = False  # audio that was not sent may fill holes


@dataclass
class Fault:
    id: str  # quirk
    kind: str
    at: int = 0  # of the pictures of the camera
    length: int = 0  # `for`: pictures; 0 = to the end
    every: int = 1
    args: dict = field(default_factory=dict)

    def active(self, number):
        return number >= self.at and (not self.length or number < self.at + self.length) and (number - self.at) % self.every == 0


@dataclass
class Scenario:
    name: str
    title: str
    camera: CameraSettings
    video: Video
    audio: Audio
    rtp: Rtp
    urls: Urls
    auth: Auth
    expect: Expect
    faults: list
    replay: dict | None = None  # of a DESCRIBE that was recorded: see replay.py
    group: str = ""  # scenarios that take a miharu of their own
    expected_failure: str = ""  # why it cannot pass yet

    @property
    def quirks(self):
        """Rows of docs/quirks.md that it serves. Hostile behaviour has no row: its id is "hostile"."""
        return {fault.id for fault in self.faults} | set(self.auth.id)


def _make(cls, table, where):
    known = {f.name for f in fields(cls)}
    for key in table:
        if key not in known:
            raise ValueError(f"{where}: {cls.__name__} has no key {key!r}; it has {', '.join(sorted(known))}")
    return cls(**table)


def _fault(table, where):
    table = dict(table)
    out = {"length": table.pop("for", 0)}
    for key in ("id", "kind", "at", "every"):
        if key in table:
            out[key] = table.pop(key)
    if "id" not in out or "kind" not in out:
        raise ValueError(f"{where}: a fault needs id and kind")
    return Fault(**out, args=table)


def parse(table, where):
    table = dict(table)
    parts = {
        "camera": CameraSettings, "video": Video, "audio": Audio, "rtp": Rtp, "urls": Urls, "auth": Auth, "expect": Expect}
    made = {key: _make(cls, table.pop(key, {}), where) for key, cls in parts.items()}
    faults = [_fault(each, where) for each in table.pop("fault", [])]
    name, title = table.pop("name"), table.pop("title")
    more = {key: table.pop(key, "") for key in ("group", "expected_failure")}
    if table:
        raise ValueError(f"{where}: unknown keys {', '.join(table)}")
    return Scenario(name, title, **made, faults=faults, **more)


def load_all(group="", folder=SCENARIOS):
    """Those of a group; all with None."""
    out = []
    for path in sorted(Path(folder).glob("*.toml")):
        table = tomllib.loads(path.read_text())
        out += [parse(each, f"{path.name}: {each.get('name')}") for each in table["scenario"]]
    names = [each.name for each in out]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two scenarios are named {name}")
    return [each for each in out if group in (None, each.group)]
