"""Faults of RTP packets and of what they carry; see faults.py."""

import struct

from camera import rtp
from camera.faults import Fault
from camera.media import PPS, SPS, Nal, make_pps, make_sps

# --- RTP


class SsrcChange(Fault):
    """A new ssrc and sequence from a picture on, and with `keep_time` = false a new timestamp."""

    keep_time = True

    async def before(self, session, number):
        if self.active(number):
            sender = session.tracks["video"]
            sender.ssrc = self.rng.getrandbits(32)
            sender.sequence = self.rng.getrandbits(16)
            if not self.keep_time:
                sender.timestamp, sender.start = self.rng.getrandbits(32), None



class OldSession(Fault):
    """Packets of a session that is no more, with its ssrc, between ours."""

    async def before(self, session, number):
        if self.active(number):
            sender = session.tracks["video"]
            packet = rtp.Packet(b"\x41" + self.rng.randbytes(200), [], True, sender.payload_type, 1000 + 3 * number, number * 9000, 7)
            session.send(sender, packet.encode())


class TimestampJump(Fault):
    """The clock of a track steps by so many seconds."""

    seconds = 10.0
    track = "video"

    async def before(self, session, number):
        if self.active(number) and self.track in session.tracks:
            session.tracks[self.track].offset += self.seconds


class SequenceJump(Fault):
    by = 20000

    async def before(self, session, number):
        if self.active(number):
            session.tracks["video"].sequence += self.by


class Drift(Fault):
    """The media clock of a track runs at another speed than it says: by `ppm`, or by a `factor`."""

    ppm = 0.0
    factor = 1.0
    track = "video"

    async def before(self, session, number):
        if self.track in session.tracks:
            session.tracks[self.track].speed = self.factor * (1 + self.ppm / 1e6)


class RandomTime(Fault):
    """Each unit has a timestamp from anywhere."""

    track = "video"

    def packets(self, session, sender, unit, number, packets):
        if unit.track == self.track and self.active(number):
            timestamp = self.rng.getrandbits(32)
            for packet in packets:
                packet.timestamp = timestamp
        return packets


class Irregular(Fault):
    """Pictures are not taken at a steady rate: each up to `seconds` later."""

    seconds = 0.08

    def irregular(self, number):
        return self.seconds * ((number * 37) % 10) / 10


class Marker(Fault):
    """`where`: none, all, sets (also after parameter sets), some."""

    where = "none"

    def packets(self, session, sender, unit, number, packets):
        if unit.track != "video" or not self.active(number):
            return packets
        for packet in packets:
            if self.where == "all":
                packet.marker = True
            elif self.where == "none" or (self.where == "some" and self.rng.random() < 0.5):
                packet.marker = False
            elif self.where == "sets" and packet.payload[0] & 31 in (SPS, PPS, 6):
                packet.marker = True
        return packets


class BadPackets(Fault):
    """Packets that no one can read, between the good ones. `which`: short, version, type, extension, padding, empty."""

    which = ["short", "version", "type", "extension", "padding"]

    def sequenced(self, session, sender, unit, number, packets):
        if unit.track != "video" or not self.active(number):
            return packets
        good = rtp.Packet(b"", [], False, sender.payload_type, sender.sequence, packets[0].timestamp, sender.ssrc).encode()
        raw = {
            "short": good[:8], "version": b"\x40" + good[1:] + b"\x41\x9a\x55\x55", "type": good[:1] + b"\x32" + good[2:] + b"\x41\x9a",
            "extension": b"\x90" + good[1:] + b"\xbe\xde\xff\xff" + b"\0" * 8, "padding": b"\xa0" + good[1:] + b"\x41\x9a\xff"}
        return [rtp.Packet(b"", raw=raw[each]) for each in self.which] + packets


class Padding(Fault):
    """Valid padding, extensions and contributing sources on every packet."""

    def sequenced(self, session, sender, unit, number, packets):
        for packet in packets:
            packet.first_byte = 0xB1
            packet.payload = struct.pack(">IHH", 99, 0xBEDE, 1) + b"\0" * 4 + packet.payload + b"\0\0\0\4"
        return packets


# --- H.264


class StartCodes(Fault):
    """`how`: one (parameter sets and slices in one FU-A, start codes between), lead, trail."""

    how = "one"
    code = b"\0\0\0\1"

    def packets(self, session, sender, unit, number, packets):
        if unit.track != "video" or not self.active(number):
            return packets
        if self.how == "one":
            data = self.code.join(nal.data for nal in unit.nals)
            whole = Nal(data)
            out = rtp.fragments(data, whole, session.camera.scenario.video.packet)
            for packet in out:
                packet.nals = list(unit.nals)
        else:
            out = []
            for nal in unit.nals:
                data = self.code + nal.data if self.how == "lead" else nal.data + self.code
                out += [rtp.Packet(data, [nal])] if self.how == "lead" or len(data) < 1200 else rtp.fragments(data, nal, 1200)
        out[-1].marker = True
        for packet in out:
            packet.payload_type, packet.timestamp, packet.ssrc = sender.payload_type, packets[0].timestamp, sender.ssrc
        return out


class FragmentErrors(Fault):
    """`how`: no_end, no_start, both, type_changes, empty, reserved."""

    how = "no_end"

    def packets(self, session, sender, unit, number, packets):
        parts = [packet for packet in packets if packet.payload[0] & 31 == 28]
        if unit.track != "video" or not self.active(number):
            return packets

        def header(packet, clear=0, put=0):
            packet.payload = packet.payload[:1] + bytes([packet.payload[1] & ~clear | put]) + packet.payload[2:]

        if self.how == "both":
            for packet in packets:
                if packet.payload[0] & 31 in (1, 5):
                    first = packet.payload[0]
                    packet.payload = bytes([first & 0xE0 | 28, first & 31 | 0xC0]) + packet.payload[1:]
            return packets
        if not parts:
            return packets
        if self.how == "no_end":
            header(parts[-1], 0x40)
            unit.damage(*parts[-1].nals)
        elif self.how == "no_start":
            header(parts[0], 0x80)
            unit.damage(*parts[0].nals)
        elif self.how == "type_changes":
            for packet in parts[1:]:
                header(packet, 0x1F, 1)
        elif self.how == "reserved":
            for packet in parts:
                header(packet, 0, 0x20)
        elif self.how == "empty":
            extra = rtp.Packet(parts[0].payload[:1] + bytes([parts[0].payload[1] & 0x1F]), [], False, parts[0].payload_type, 0,
                               parts[0].timestamp, parts[0].ssrc)
            bare = rtp.Packet(parts[0].payload[:1], [], False, parts[0].payload_type, 0, parts[0].timestamp, parts[0].ssrc)
            at = packets.index(parts[0]) + 1
            packets = packets[:at] + [extra, bare] + packets[at:]
        return packets


class StapZeros(Fault):
    """STAP-A of the parameter sets with a tail of zeros."""

    def packets(self, session, sender, unit, number, packets):
        for packet in packets:
            if unit.track == "video" and packet.payload[0] & 31 == 24:
                packet.payload += b"\0" * 12
        return packets


class SpsChange(Fault):
    """`how`: noise (another timing in the VUI), real (another size), alternate (noise, to and fro), sizes (real, to and fro)."""

    how = "noise"

    async def before(self, session, number):
        if not self.active(number):
            return
        video = session.camera.video
        if self.how == "real":
            video.sps = make_sps(1280, 720, poc_type=video.poc_type, timing=25)
            video.restart()
        elif self.how == "sizes":
            self.spare = self.spare or make_sps(1280, 720, poc_type=video.poc_type, timing=25)
            video.sps, self.spare = self.spare, video.sps
        else:
            self.spare = make_sps(poc_type=video.poc_type, timing=50) if self.spare is None else self.spare
            video.sps, self.spare = self.spare, video.sps

    spare = None


class Garbage(Fault):
    """NAL units that belong to no picture. `types`: added to each picture; `sets`: unused parameter sets."""

    types = [0, 12, 24]
    sets = False

    def unit(self, session, unit, number):
        if unit.track != "video" or not self.active(number):
            return
        if self.sets and unit.key:
            unit.nals[:0] = [Nal(make_sps(320, 240, 3)), Nal(make_pps(5, 3))]
        if self.spec.every and self.types:
            self.extra = [rtp_payload(kind, self.rng) for kind in self.types]

    extra = ()

    def packets(self, session, sender, unit, number, packets):
        if unit.track != "video" or not self.extra or not self.active(number):
            return packets
        out = [rtp.Packet(data, [], False, sender.payload_type, 0, packets[0].timestamp, sender.ssrc) for data in self.extra]
        return out + packets


def rtp_payload(kind, rng):
    noise = bytes(0x20 + each % 0xE0 for each in rng.randbytes(30))
    if kind >= 24:  # inside an aggregate, where it can stand
        body = bytes([0x60 | kind]) + noise
        return bytes([24]) + struct.pack(">H", len(body)) + body
    return bytes([0x60 | kind if kind else 0]) + noise


class Huge(Fault):
    """A picture of `kib` KiB. Above the cap it is dropped, and all up to the next key frame with it."""

    kib = 1500
    dropped = False

    def unit(self, session, unit, number):
        if unit.track != "video":
            return
        if self.active(number):
            nal = unit.nals[-1]
            nal.data += bytes(0x20 + (i * 7 + number) % 0xD0 for i in range(4096)) * (self.kib // 4)
            self.waiting = self.dropped
        elif unit.key:
            self.waiting = False
        if self.waiting:
            unit.damage(*unit.nals)

    waiting = False


class KeyAfter(Fault):
    """The session begins inside a group of pictures: the first key frame comes after so many others."""

    pictures = 5

    async def before(self, session, number):
        if number == 0:
            session.camera.video.in_gop = session.camera.video.gop - self.pictures

    def unit(self, session, unit, number):
        if unit.track == "video" and number < self.pictures:
            unit.damage(*unit.nals)


# --- AAC


class AacForm(Fault):
    """`how`: adts, several (two frames a packet), fragments, wrong_size, no_headers."""

    how = "adts"
    kept = None

    def packets(self, session, sender, unit, number, packets):
        if unit.track != "audio" or not self.active(number):
            return packets
        packet, data = packets[0], unit.nals[0].data
        if self.how == "adts":
            size = len(data) + 7
            packet.payload = bytes([0xFF, 0xF1, 0x40 | 11 << 2, 0x40 | size >> 11, size >> 3 & 0xFF, (size & 7) << 5 | 0x1F, 0xFC]) + data
        elif self.how == "several":
            if self.kept is None:
                self.kept = (packet, data)
                unit.required = False  # until the other one is there
                return []
            (first, other), self.kept = self.kept, None
            next(each for each in reversed(session.camera.truth) if each.track == "audio").state = "sent"
            first.payload = struct.pack(">HHH", 32, len(other) << 3, len(data) << 3) + other + data
            return [first]
        elif self.how == "fragments":
            half = len(data) // 2
            header = packet.payload[:4]
            first = rtp.Packet(header + data[:half], list(unit.nals), False, packet.payload_type, 0, packet.timestamp, packet.ssrc)
            packet.payload = header + data[half:]
            return [first, packet]
        elif self.how == "wrong_size":
            packet.payload = struct.pack(">HH", 16, (len(data) + 500) << 3) + data
            unit.damage(*unit.nals)
        elif self.how == "no_headers":
            packet.payload = data
            unit.damage(*unit.nals)
        return packets
