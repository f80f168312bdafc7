"""Reads the fMP4 objects of a store (ISO/IEC 14496-12), independently of the program that wrote them."""

import base64
import re
import struct
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path


@dataclass
class Sample:
    track: str  # "video" or "audio"
    time: float  # decoding time, UTC seconds
    duration: float
    data: bytes
    run: int = 0

    def nals(self):
        out, at = [], 0
        while at + 4 <= len(self.data):
            size = int.from_bytes(self.data[at:at + 4], "big")
            out.append(self.data[at + 4:at + 4 + size])
            at += 4 + size
        if at != len(self.data):
            raise ValueError("lengths of NAL units do not fill the sample")
        return out


def boxes(data, begin=0, end=None):
    end = len(data) if end is None else end
    while begin + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, begin)
        if size < 8 or begin + size > end:
            raise ValueError(f"box {kind!r} at {begin} is cut off")
        yield kind.decode("latin-1"), begin + 8, begin + size
        begin += size


def find(data, path, begin=0, end=None):
    """The bodies (begin, end) of all boxes at `path`."""
    found = [(begin, len(data) if end is None else end)]
    for kind in path.split("/"):
        found = [(b, e) for begin, end in found for k, b, e in boxes(data, begin, end) if k == kind]
    return found


def read_tracks(data):
    tracks = {}
    for begin, end in find(data, "moov/trak"):
        header = find(data, "tkhd", begin, end)[0][0]
        media = find(data, "mdia/mdhd", begin, end)[0][0]
        handler = find(data, "mdia/hdlr", begin, end)[0][0]
        number = struct.unpack_from(">I", data, header + (20 if data[header] else 12))[0]
        scale = struct.unpack_from(">I", data, media + (20 if data[media] else 12))[0]
        tracks[number] = ("video" if data[handler + 8:handler + 12] == b"vide" else "audio", scale)
    return tracks


def read_run(data, at, moof, defaults):
    """A trun: (offset of the data, [(duration, size)])."""
    flags, count = struct.unpack_from(">II", data, at)
    flags &= 0xFFFFFF
    at += 8
    offset = 0
    if flags & 1:
        offset = struct.unpack_from(">i", data, at)[0]
        at += 4
    at += 4 if flags & 4 else 0
    out = []
    for _ in range(count):
        values = list(defaults)
        for bit, index in ((0x100, 0), (0x200, 1), (0x400, None), (0x800, None)):
            if flags & bit:
                if index is not None:
                    values[index] = struct.unpack_from(">I", data, at)[0]
                at += 4
        out.append(tuple(values))
    return moof + offset, out


def read_object(data):
    tracks = read_tracks(data)
    out = []
    for kind, begin, end in boxes(data):
        if kind != "moof":
            continue
        for b, e in find(data, "traf", begin, end):
            header = find(data, "tfhd", b, e)[0][0]
            flags, number = struct.unpack_from(">II", data, header)
            flags &= 0xFFFFFF
            at = header + 8 + (8 if flags & 1 else 0) + (4 if flags & 2 else 0)
            defaults = [0, 0]
            for bit, index in ((8, 0), (0x10, 1)):
                if flags & bit:
                    defaults[index] = struct.unpack_from(">I", data, at)[0]
                    at += 4
            base = find(data, "tfdt", b, e)[0][0]
            time = struct.unpack_from(">Q" if data[base] else ">I", data, base + 4)[0]
            track, scale = tracks[number]
            for run, _ in find(data, "trun", b, e):
                place, samples = read_run(data, run, begin - 8, defaults)
                for duration, size in samples:
                    out.append(Sample(track, time / scale, duration / scale, data[place:place + size]))
                    time += duration
                    place += size
    return out


def read_camera(store: Path, camera: str):
    """All samples of a camera in the order of recording, and the names of its objects."""
    names = sorted((store / "rec" / camera).rglob("*.mp4"), key=lambda path: int(path.name.split("_", 3)[2], 36))
    samples = []
    for path in names:
        of_object = read_object(path.read_bytes())
        for each in of_object:
            each.run = run_of(path.name)[0]
        samples += of_object
    return samples, [path.name for path in names]


def run_of(name):
    """The run of an object: its number, and the letter of why it began."""
    match = re.fullmatch(r"([0-9a-z]+)([a-z])", name.split("_", 3)[1])
    return int(match[1], 36), match[2]


@dataclass
class Chunk:
    start: float  # UTC seconds
    end: float
    damaged: bool
    dependent: bool


def chunks_of(name):
    """The chunks of an object, from its name (docs/formats.md)."""
    start, _, _, rest = name.split("_", 3)
    time = datetime.strptime(start, "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=timezone.utc).timestamp()
    text = rest.rpartition(".")[0]
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))[:-4]
    at = 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            value |= (data[at] & 127) << shift
            shift += 7
            at += 1
            if not data[at - 1] & 128:
                return value

    for _ in range(3):  # version, flags, initialization part
        number()
    out, duration = [], 0
    while at < len(data):
        mark = number()
        told = mark >> 1 & 3
        if told == 3:
            zigzag = number()
            duration += zigzag >> 1 if not zigzag & 1 else -(zigzag + 1 >> 1)
        else:
            duration += (0, 1, -1)[told]
        number()
        out.append(Chunk(time, time + duration / 1000, bool(mark & 1), mark >> 3 == 0))
        time += duration / 1000
    return out
