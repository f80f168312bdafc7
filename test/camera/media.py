"""What a camera encodes: H.264 access units, AAC and G.711 frames, each with its own bytes so that a hash finds it again.

Pictures are synthetic: parameter sets and slice headers are real (ITU-T H.264 7.3), slice data is seeded noise. A recorder
that does not decode cannot tell. For a stream that decodes there is `FileH264`, made by ffmpeg."""

import random
import subprocess
from dataclasses import dataclass, field

SLICE, IDR, SEI, SPS, PPS, AUD, FILLER = 1, 5, 6, 7, 8, 9, 12


class Bits:
    def __init__(self):
        self.text = ""

    def u(self, width, value):
        self.text += format(value, f"0{width}b")
        return self

    def ue(self, value):
        code = format(value + 1, "b")
        self.text += "0" * (len(code) - 1) + code
        return self

    def se(self, value):
        return self.ue(2 * value - 1 if value > 0 else -2 * value)

    def bytes(self, stop=True):
        text = self.text + ("1" if stop else "")
        text += "0" * (-len(text) % 8)
        return int(text, 2).to_bytes(len(text) // 8, "big")


def make_sps(width=640, height=352, sps_id=0, poc_type=2, timing=None):
    out = Bits().u(8, 0x42).u(8, 0xC0).u(8, 30).ue(sps_id)  # constrained baseline, level 3
    out.ue(0).ue(poc_type)
    if poc_type == 0:
        out.ue(2)  # 6 bits of picture order count
    out.ue(1).u(1, 0).ue(width // 16 - 1).ue(height // 16 - 1).u(1, 1).u(1, 1).u(1, 0)
    if timing is None:
        out.u(1, 0)
    else:
        out.u(1, 1).u(4, 0).u(1, 1).u(32, 1).u(32, timing).u(1, 1).u(4, 0)
    return bytes([0x67]) + escape(out.bytes())


def make_pps(pps_id=0, sps_id=0):
    out = Bits().ue(pps_id).ue(sps_id).u(2, 0).ue(0).ue(0).ue(0).u(3, 0).se(0).se(0).se(0).u(3, 0)
    return bytes([0x68]) + out.bytes()


def escape(rbsp):
    """Emulation prevention (7.4.1)."""
    out = bytearray()
    zeros = 0
    for byte in rbsp:
        if zeros == 2 and byte <= 3:
            out.append(3)
            zeros = 0
        out.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(out)


@dataclass
class Nal:
    data: bytes
    damaged: bool = False  # a part of it does not reach the recorder

    @property
    def type(self):
        return self.data[0] & 0x1F


@dataclass
class Unit:
    """What shares one timestamp: an access unit, or an audio frame (one Nal without meaning)."""

    track: str
    time: float  # seconds of media time since the camera began to encode
    key: bool
    nals: list = field(default_factory=list)
    damaged: bool = False
    required: bool = True  # must be in the recording; else it may be there
    sent: bool = True  # else nobody can know of it

    def damage(self, *nals):
        self.damaged = True
        for nal in nals:
            nal.damaged = True


class H264:
    """`gop`: pictures from one key frame to the next. `in_band`: which key frames carry parameter sets: all, first, none."""

    def __init__(self, rng: random.Random, fps=10, gop=10, slices=1, key_bytes=6000, bytes=900, in_band="all", aud=False,
                 sei=False, poc_type=2, recovery=False, timing=25, gops=()):
        self.rng, self.fps, self.slices = rng, fps, slices
        self.gops = list(gops) or [gop]
        self.key_bytes, self.delta_bytes, self.in_band, self.aud, self.sei = key_bytes, bytes, in_band, aud, sei
        self.poc_type, self.recovery = poc_type, recovery
        self.sps, self.pps = make_sps(poc_type=poc_type, timing=timing), make_pps()
        self.number = 0
        self.in_gop = 0
        self.keys = 0

    @property
    def gop(self):
        return self.gops[max(self.keys - 1, 0) % len(self.gops)]

    def noise(self, size):
        # Never below 0x20: no start code, and no emulation prevention, inside.
        return self.rng.randbytes(size).translate(NOISE)

    def slice(self, key, first_mb, frame_num, size):
        header = Bits().ue(first_mb).ue(7 if key else 5).ue(0).u(4, frame_num & 15)
        idr = key and not self.recovery
        if idr:
            header.ue(self.keys & 1)
        if self.poc_type == 0:
            header.u(6, (self.in_gop * 2) & 63)
        header.u(24, 0x555555)
        return Nal(bytes([0x65 if idr else 0x41]) + escape(header.bytes()) + self.noise(size))

    def restart(self):
        """The next picture is a key frame."""
        self.in_gop = 0

    def next(self):
        key = self.in_gop == 0
        unit = Unit("video", self.number / self.fps, key)
        if self.aud:
            unit.nals.append(Nal(bytes([0x09, 0x10 if key else 0x30])))
        if key and (self.in_band == "all" or (self.in_band == "first" and self.keys == 0)):
            unit.nals += [Nal(self.sps), Nal(self.pps)]
        if self.sei or (key and self.recovery):
            body = b"miharu-simulator" + f"{self.number:08d}".encode()
            point = b"\x06\x01\xc4" if key and self.recovery else b""
            unit.nals.append(Nal(b"\x06" + point + bytes([5, len(body)]) + body + b"\x80"))
        size = (self.key_bytes if key else self.delta_bytes) // self.slices
        for i in range(self.slices):
            number = self.number if self.recovery else self.in_gop
            unit.nals.append(self.slice(key, i * 880 // self.slices, number, size + self.rng.randrange(size // 4 + 1)))
        self.keys += key
        self.number += 1
        self.in_gop = (self.in_gop + 1) % self.gop
        return unit


NOISE = bytes(0x20 + value % 0xE0 for value in range(256))


# What x264 is told; all else is the same.
STYLES = {
    "b-frames": ["-bf", "2", "-x264-params", "scenecut=0:b-pyramid=none"],
    "pyramid": ["-bf", "3", "-x264-params", "scenecut=0:b-pyramid=normal"],
    "open-gop": ["-bf", "2", "-x264-params", "scenecut=0:open-gop=1"],
    "intra-refresh": ["-bf", "0", "-x264-params", "scenecut=0:intra-refresh=1"],
    "interlaced": ["-bf", "2", "-flags", "+ildct+ilme", "-x264-params", "scenecut=0:tff=1:b-pyramid=none"],
}


class FileH264:
    """Pictures that decode. Made once by ffmpeg, enough for 100 s at 10 a second. Media time is that of presentation; pictures
    come in decoding order."""

    def __init__(self, folder, style, fps=10):
        path = folder / f"{style}-{fps:g}.mp4"
        if not path.exists():
            self._run("ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"testsrc2=s=160x128:r={fps}", "-frames:v", "1000", "-c:v", "libx264",
                      "-preset", "ultrafast", "-g", "20", "-b_strategy", "0", "-threads", "1", *STYLES[style], str(path))
        stream = self._run("ffmpeg", "-v", "error", "-i", str(path), "-c", "copy", "-bsf:v", "h264_mp4toannexb,h264_metadata=aud=insert", "-f", "h264", "-")
        told = self._run("ffprobe", "-v", "error", "-show_entries", "packet=pts_time", "-of", "csv=p=0", str(path)).split()
        self.fps = fps
        times = [float(each.strip(b",")) for each in told]
        self.times = [each - min(times) for each in times]
        self.units = self._split(stream)
        assert len(self.units) == len(self.times)
        self.sps = next(n for n in self.units[0] if n[0] & 31 == SPS)
        self.pps = next(n for n in self.units[0] if n[0] & 31 == PPS)
        self.number = 0

    @staticmethod
    def _run(*command):
        return subprocess.run(command, check=True, timeout=60, stdout=subprocess.PIPE).stdout

    @staticmethod
    def _split(stream):
        units = []
        for part in stream.replace(b"\x00\x00\x00\x01", b"\x00\x00\x01").split(b"\x00\x00\x01")[1:]:
            nal = part.rstrip(b"\x00")
            if nal[0] & 31 == AUD:
                units.append([])
            units[-1].append(nal)
        return units

    def restart(self):
        pass

    def next(self):
        index = self.number % len(self.units)
        nals = [Nal(data) for data in self.units[index]]
        # What intra refresh and open groups begin with has a recovery point (SEI of type 6).
        key = any(nal.type == IDR or nal.data[:2] == b"\x06\x06" for nal in nals)
        unit = Unit("video", (self.number - index) / self.fps + self.times[index], key, nals)
        self.number += 1
        return unit


class Aac:
    """Frames of 1024 samples that no decoder would take, but that a recorder has to keep as they are."""

    rate, samples, name = 8000, 1024, "MPEG4-GENERIC"

    def __init__(self, rng, rate=8000):
        self.rng, self.rate, self.number = rng, rate, 0

    @property
    def fmtp(self):
        index = [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000].index(self.rate)
        config = (2 << 11 | index << 7 | 1 << 3).to_bytes(2, "big").hex()
        return f"profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config={config}"

    def next(self):
        data = b"\x21" + self.rng.randbytes(80 + self.rng.randrange(60)).translate(NOISE)
        unit = Unit("audio", self.number * self.samples / self.rate, True, [Nal(data)])
        self.number += 1
        return unit


class Opus:
    """Packets of 20 ms (RFC 6716 3.1) that no decoder would take. RFC 7587: the clock is 48000, whatever the sound is."""

    rate, samples, name = 48000, 960, "opus"
    fmtp = "sprop-stereo=0"

    def __init__(self, rng):
        self.rng, self.number = rng, 0

    def next(self):
        data = b"\x78" + self.rng.randbytes(60 + self.rng.randrange(40)).translate(NOISE)
        unit = Unit("audio", self.number * self.samples / self.rate, True, [Nal(data)])
        self.number += 1
        return unit


class Raw:
    """Sound that is described, but that the recorder has to leave."""

    def __init__(self, rng, name, rate, size):
        self.rng, self.name, self.rate, self.samples, self.size, self.number = rng, name, rate, rate // 25, size, 0
        self.fmtp = None

    def next(self):
        unit = Unit("audio", self.number * self.samples / self.rate, True, [Nal(self.rng.randbytes(self.size))], required=False)
        self.number += 1
        return unit


class G711:
    rate, samples = 8000, 320

    def __init__(self, rng, law="PCMU"):
        self.rng, self.name, self.number = rng, law, 0
        self.fmtp = None

    def next(self):
        # A saw tooth on the compressed scale: no silence, and no need of a table.
        data = bytes((self.number * 7 + i * 5) & 0x7F | 0x40 for i in range(self.samples))
        unit = Unit("audio", self.number * self.samples / self.rate, True, [Nal(data)])
        self.number += 1
        return unit
