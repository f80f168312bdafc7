"""What may be wrong with a camera. A fault is a class with hooks that the simulator calls; its `kind` in a scenario is the
class's name in lower case with underscores, its arguments are the class's attributes.

Hooks: sdp, reply, before_play, before (a picture), unit, packets, sequenced (packets with numbers), frame (interleaved), flood.
Whoever makes a unit unreadable says so with Unit.damage(): the ground truth is written from that."""

import asyncio
import base64
import random
import re
import socket
import struct

from camera import rtp
from camera.media import PPS, SPS, Nal, make_pps, make_sps

KINDS = {}


class Fault:
    def __init__(self, spec):
        self.spec = spec
        for key, value in spec.args.items():
            if key.startswith("_") or not hasattr(type(self), key) or callable(getattr(type(self), key)):
                raise ValueError(f"fault {spec.kind} has no argument {key!r}")
            setattr(self, key, value)
        self.rng = random.Random(f"{spec.id} {spec.kind}")

    def __init_subclass__(cls):
        KINDS[re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()] = cls

    def active(self, number):
        return self.spec.active(number)


def make(spec):
    if spec.kind not in KINDS:
        raise ValueError(f"no fault of kind {spec.kind!r}; there are {', '.join(sorted(KINDS))}")
    return KINDS[spec.kind](spec)


# --- RTSP


class Reply(Fault):
    """Changes replies. In texts {host}, {name}, {url}, {session}, {track}, {n} (a counter) and the old value {old} are replaced."""

    method = "*"
    times = 0  # 0 = always
    udp = None  # only replies to SETUP over UDP (true) or TCP (false)
    status = ""  # "461 Unsupported Transport"
    line = ""  # the whole first line
    set = {}
    add = []
    drop = []
    replace = []  # [regular expression, replacement] over the values of all headers
    lower = False  # header names
    upper = False
    separator = ": "
    trail = ""
    eol = "\r\n"
    prefix = ""  # sent before the reply and behind it
    suffix = ""
    split = 0
    delay = 0.0
    never = False
    length = 0  # added to Content-Length
    only_ok = True
    seen = 0

    def reply(self, connection, request, reply):
        if self.method not in ("*", request.method) or (self.only_ok and " 200" not in reply.line):
            return
        transport = request.headers.get("transport", "")
        if self.udp is not None and ("client_port" in transport) != self.udp:
            return
        self.seen += 1
        if self.times and self.seen > self.times:
            return
        camera = connection.camera

        def fill(text, old=""):
            values = {"host": connection.simulator.host, "name": camera.scenario.name, "session": connection.id, "old": old or "",
                      "url": f"rtsp://{connection.simulator.host}/{camera.scenario.name}", "n": str(self.seen),
                      "port": connection.simulator.host.split(":")[1]}
            return re.sub(r"\{(\w+)\}", lambda m: values.get(m[1], m[0]), text)

        if self.status:
            reply.line = "RTSP/1.0 " + self.status
            reply.body = b""
            reply.headers = [each for each in reply.headers if each[0] == "CSeq"]
        if self.line:
            reply.line = fill(self.line)
        for name, value in self.set.items():
            reply.set(name, fill(value, reply.get(name)))
        for name, value in self.add:
            reply.headers.append((name, fill(value)))
        if self.length:
            reply.set("Content-Length", str(len(reply.body) + self.length))
        for pattern, replacement in self.replace:
            reply.headers = [(k, re.sub(pattern, replacement, v)) for k, v in reply.headers]
        reply.headers = [each for each in reply.headers if each[0] not in self.drop]
        if self.lower or self.upper:
            reply.headers = [(k.lower() if self.lower else k.upper(), v) for k, v in reply.headers]
        reply.separator, reply.trail, reply.eol = self.separator, self.trail, self.eol
        reply.before += fill(self.prefix).encode()
        reply.after += fill(self.suffix).encode()
        reply.split, reply.delay, reply.never = self.split or reply.split, self.delay or reply.delay, self.never
        if self.status and request.method == "SETUP" and connection.session:
            connection.session.tracks.clear()


class Request(Fault):
    """The camera sends a request of its own."""

    text = "OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n"

    async def before(self, session, number):
        if self.active(number):
            session.connection.write(self.text.replace("{url}", f"rtsp://{session.connection.simulator.host}/x").encode())


class Sdp(Fault):
    """[regular expression, replacement] pairs over the whole body; {host} is replaced."""

    replace = []
    eol = "\r\n"

    def sdp(self, camera, text):
        for pattern, replacement in self.replace:
            text, count = re.subn(pattern, replacement, text, flags=re.M)
            if not count:
                raise ValueError(f"{camera.scenario.name}: nothing in the SDP matches {pattern!r}")
        return text.replace("\r\n", self.eol)


class ChallengeIn200(Fault):
    """The next nonce comes with each good reply; the one before is good for nothing."""

    def reply(self, connection, request, reply):
        if " 200" in reply.line:
            connection.login.renew()
            reply.headers += [("WWW-Authenticate", each) for each in connection.login.offers()]


class SpropAnnexB(Fault):
    """Parameter sets with start codes before and zeros behind them."""

    def sdp(self, camera, text):
        sets = [base64.b64encode(b"\0\0\0\1" + each + b"\0\0").decode() for each in (camera.video.sps, camera.video.pps)]
        return re.sub(r"(sprop-parameter-sets=)[^;\r]*", lambda m: m[1] + ",".join(sets), text)


class ManyMedia(Fault):
    count = 10000

    def sdp(self, camera, text):
        return text + "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:t\r\n" * self.count


class Served(Fault):
    """Marks a row that the scenario serves by its base settings."""


# --- the connection


class Close(Fault):
    """`how`: fin, rst (with what is on its way lost), teardown."""

    how = "fin"
    done = False

    async def before(self, session, number):
        if not self.active(number) or self.done:
            return
        self.done = True
        if self.how == "rst":
            for each in session.camera.truth[-10:]:
                each.state = "maybe" if each.state == "sent" else each.state
            session.connection.reset()
        else:
            session.connection.writer.close()
        session.closed = True


class Silence(Fault):
    """No media while the connection stays, on one track or all."""

    seconds = 2.0
    track = ""

    last = -1

    async def before(self, session, number):
        if self.active(number) and not self.track and self.last != number:
            self.last = number
            await asyncio.sleep(self.seconds)

    def packets(self, session, sender, unit, number, packets):
        if self.track != unit.track or not self.active(number):
            return packets
        unit.damage(*unit.nals)
        return []


class Mute(Fault):
    """A whole session without media: the first `sessions` of them."""

    sessions = 1
    udp = None

    def packets(self, session, sender, unit, number, packets):
        if session.number >= self.sessions or (self.udp is not None and (sender.channel is None) != self.udp):
            return packets
        unit.damage(*unit.nals)
        return []


class Early(Fault):
    """Frames before the reply to PLAY: a whole group of pictures that the camera had kept."""

    pictures = 5

    def before_play(self, session):
        for _ in range(self.pictures):
            unit = session.camera.video.next()
            unit.required = False
            session.send_unit(unit, -1)


class Junk(Fault):
    """Bytes between frames. `text`: these; else `bytes` of noise."""

    bytes = 100
    text = ""
    mark = -1

    def frame(self, session, sender, frame):
        number = session.camera.pictures - 1
        if not self.active(number) or self.mark == number:
            return frame
        self.mark = number
        return (self.text.encode() or self.rng.randbytes(self.bytes)) + frame


class Cut(Fault):
    """Only the first half of the last packet of a picture is written, as by a camera whose write was cut short."""

    def packets(self, session, sender, unit, number, packets):
        if unit.track == "video" and self.active(number):
            unit.damage(*packets[-1].nals)
            packets[-1].cut = True
        return packets

    def sequenced(self, session, sender, unit, number, packets):
        self.pending = [packet.encode() for packet in packets if getattr(packet, "cut", False)]
        return packets

    pending = ()

    def frame(self, session, sender, frame):
        return frame[:len(frame) // 2] if frame[4:] in self.pending else frame


class Unassigned(Fault):
    """Frames on a channel that no SETUP named."""

    channel = 9

    async def before(self, session, number):
        if self.active(number):
            body = struct.pack(">BBHII", 0x80, 107, number, number, 7) + self.rng.randbytes(200)
            session.connection.write(struct.pack(">BBH", 0x24, self.channel, len(body)) + body)


class Channels(Fault):
    """Other channel numbers than the client asked for."""

    first = 10
    text = "RTP/AVP/TCP;unicast;interleaved={a}-{b}"

    def reply(self, connection, request, reply):
        if request.method != "SETUP" or connection.session is None or " 200" not in reply.line:
            return
        sender = list(connection.session.tracks.values())[-1]
        sender.channel = self.first + 2 * (len(connection.session.tracks) - 1)
        reply.set("Transport", self.text.format(a=sender.channel, b=sender.channel + 1, ssrc=f"{sender.ssrc:08X}"))


class Segments(Fault):
    """Interleaved data in segments of a few bytes, or several frames in one."""

    size = 7

    def frame(self, session, sender, frame):
        sock = session.connection.writer.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(frame), self.size):
            session.connection.write(frame[at:at + self.size])
        return b""


# --- UDP


class Drop(Fault):
    """Packets of a picture are lost: those with the indexes in `which` (negative: from the end), or each by chance `rate`."""

    which = []
    rate = 0.0

    def sequenced(self, session, sender, unit, number, packets):
        if unit.track != "video" or not self.active(number):
            return packets
        lost = {i % len(packets) for i in self.which if -len(packets) <= i < len(packets)}
        if self.rate:
            lost |= {i for i in range(len(packets)) if self.rng.random() < self.rate}
        for i in lost:
            unit.damage(*packets[i].nals)
        return [packet for i, packet in enumerate(packets) if i not in lost]


class Reorder(Fault):
    """Packets of a picture come in another order."""

    depth = 4

    def sequenced(self, session, sender, unit, number, packets):
        if unit.track == "video" and self.active(number):
            order = sorted(range(len(packets)), key=lambda i: i + self.rng.uniform(0, self.depth))
            return [packets[i] for i in order]
        return packets


class Duplicate(Fault):
    copies = 2

    def sequenced(self, session, sender, unit, number, packets):
        return [packet for packet in packets for _ in range(self.copies)] if self.active(number) else packets


class Stranger(Fault):
    """Somebody else sends to the same port of ours: packets that would fit."""

    async def before(self, session, number):
        sender = session.tracks["video"]
        if not self.active(number) or sender.channel is not None:
            return
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            packet = rtp.Packet(b"\x41" + self.rng.randbytes(50), [], True, sender.payload_type, sender.sequence,
                                sender.rtp_time(number / 10), sender.ssrc)
            other.sendto(packet.encode(), ("127.0.0.1", sender.peer))


class Bye(Fault):
    async def before(self, session, number):
        if self.active(number):
            sender = session.tracks["video"]
            session.send(sender, rtp.bye(sender.ssrc), True)


# --- RTP


class SsrcChange(Fault):
    """A new ssrc, sequence and timestamp from a picture on. The first packet of it tells the recorder; `lossy`: it is lost."""

    keep_time = True

    async def before(self, session, number):
        if self.active(number):
            sender = session.tracks["video"]
            sender.ssrc = self.rng.getrandbits(32)
            sender.sequence = self.rng.getrandbits(16)
            self.fresh = True
            if not self.keep_time:
                sender.timestamp, sender.start = self.rng.getrandbits(32), None

    fresh = False

    def sequenced(self, session, sender, unit, number, packets):
        if self.fresh and unit.track == "video":
            self.fresh = False
            unit.damage(*packets[0].nals)
        return packets


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
    """The first packet behind it may be lost: two in a row show that it is a jump and no stray (RFC 3550 A.1)."""

    by = 20000

    async def before(self, session, number):
        if self.active(number):
            session.tracks["video"].sequence += self.by

    def sequenced(self, session, sender, unit, number, packets):
        if unit.track == "video" and self.active(number):
            unit.damage()
        return packets


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
    """`how`: noise (another timing in the VUI), real (another size), alternate (noise, to and fro)."""

    how = "noise"

    async def before(self, session, number):
        if not self.active(number):
            return
        video = session.camera.video
        if self.how == "real":
            video.sps = make_sps(1280, 720, poc_type=video.poc_type, timing=25)
            video.restart()
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
                return []
            (first, other), self.kept = self.kept, None
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


# --- hostility


class Flood(Fault):
    """Never stops: `what`: header, junk, frames (65,535 bytes each), body."""

    what = "header"
    method = "DESCRIBE"
    mib = 64

    async def flood(self, connection, request):
        if request.method != self.method:
            return
        writer = connection.writer
        if self.what == "header":
            writer.write(b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n")
        piece = {"header": b"X-Filler: " + b"a" * 4000 + b"\r\n", "line": b"a" * 4096, "junk": bytes(range(1, 256)) * 16,
                 "frames": b"$\x00\xff\xff\x80\x60" + b"\x41" * 65533, "body": b"a=x\r\n" * 800}[self.what]
        for _ in range(self.mib * 2**20 // len(piece)):
            if writer.is_closing():
                return
            writer.write(piece)
            await writer.drain()
