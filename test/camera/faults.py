"""What may be wrong with a camera; faults of its media are in faults_media.py. A fault is a class with hooks that the simulator calls; its `kind` in a scenario is the
class's name in lower case with underscores, its arguments are the class's attributes.

Hooks: sdp, reply, before_play, before (a picture), unit, packets, sequenced (packets with numbers), frame (interleaved), flood.
Whoever makes a unit unreadable says so with Unit.damage(): the ground truth is written from that."""

import asyncio
import base64
import os
import random
import re
import socket
import struct
import time

from camera import rtp
from camera.media import make_sps

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
            values = {"host": camera.host, "name": camera.scenario.name, "session": connection.id, "old": old or "",
                      "url": camera.url, "n": str(self.seen), "port": camera.host.split(":")[1],
                      "trap": str(connection.simulator.trap)}
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
            text = self.text.replace("{url}", session.camera.url).replace("{trap}", str(session.connection.simulator.trap))
            session.connection.write(text.encode())
            session.ending = session.ending or text.startswith("REDIRECT")


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


class SessionPerSetup(Fault):
    """Each SETUP has a session id of its own; PLAY goes with the last."""

    def reply(self, connection, request, reply):
        if request.method == "SETUP" and " 200" in reply.line:
            connection.id = f"{len(connection.session.tracks)}-{connection.id}"
            reply.set("Session", connection.id)


class KeptSession(Fault):
    """A session that was lost is kept for some seconds, and there is no other: 453."""

    seconds = 4.0
    since = None

    def reply(self, connection, request, reply):
        now = asyncio.get_running_loop().time()
        if request.method == "SETUP" and connection.camera.sessions > 1 and self.since is None:
            self.since = now
        if request.method == "SETUP" and self.since is not None and now - self.since < self.seconds:
            reply.line, reply.headers = "RTSP/1.0 453 Not Enough Bandwidth", reply.headers[:1]


class SpropExtra(Fault):
    """Parameter sets with bytes behind their end, and a NAL unit among them that is none."""

    def sdp(self, camera, text):
        sets = [camera.video.sps + b"\x55\xaa", b"\x06\x05\x01\x00\x80", camera.video.pps]
        return re.sub(r"(sprop-parameter-sets=)[^;\r]*", lambda m: m[1] + ",".join(base64.b64encode(s).decode() for s in sets), text)


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
    """`how`: fin, rst (with what is on its way lost), half (it goes on reading)."""

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
        elif self.how == "half":
            session.connection.writer.write_eof()
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

    silent = False

    def packets(self, session, sender, unit, number, packets):
        if self.track != unit.track:
            return packets
        if not self.active(number):
            if self.silent and unit.track == "video" and not unit.key:
                # What follows a silence can be decoded from its first key frame on.
                unit.sent = False
                return []
            self.silent = False
            return packets
        self.silent = True
        unit.sent = False
        return []


class Mute(Fault):
    """A whole session without media: the first `sessions` of them."""

    sessions = 1
    udp = None

    def packets(self, session, sender, unit, number, packets):
        if session.number >= self.sessions or (self.udp is not None and (sender.channel is None) != self.udp):
            return packets
        unit.sent = False
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


class Repeat(Fault):
    """The beginning of a frame is written, then the whole of it, as by a camera that starts a short write over."""

    mark = -1

    def frame(self, session, sender, frame):
        number = session.camera.pictures - 1
        if not self.active(number) or self.mark == number or len(frame) < 100:
            return frame
        self.mark = number
        return frame[:len(frame) // 2] + frame


class PartialWrites(Fault):
    """Writes as much as the socket takes and forgets the rest (live555 before 2017.06.04): a client that does not read for a
    while, so that its window is shut, gets frames that are cut off. `kib`: of the camera's own buffer."""

    kib = 64
    cut = 0  # frames of which a part was written
    lost = 0  # frames of which nothing was

    def frame(self, session, sender, frame):
        writer = session.connection.writer
        if writer.transport.get_write_buffer_size():
            return frame  # a reply is on its way
        with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.kib << 10)
            try:
                taken = sock.send(frame, socket.MSG_DONTWAIT)
            except BlockingIOError:
                taken = 0
            except OSError:
                return frame
        if taken < len(frame):
            self.cut += taken > 0
            self.lost += taken == 0
            session.damage_sent(frame[4:])
        return b""


class Drip(Fault):
    """`bytes` a millisecond, each in a segment of its own."""

    bytes = 1
    waiting = b""
    task = None

    def frame(self, session, sender, frame):
        self.waiting += frame
        if self.task is None or self.task.done():
            self.task = asyncio.get_running_loop().create_task(self._send(session.connection))
        return b""

    def reply_bytes(self, connection, data):
        """A reply waits for the frames before it: in the middle of one it would break that."""
        if not self.waiting:
            return data
        self.waiting += data
        return b""

    async def _send(self, connection):
        loop = asyncio.get_running_loop()
        connection.writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begin, sent = loop.time(), 0
        while self.waiting:
            due = int((loop.time() - begin) * 1000 * self.bytes) - sent
            for at in range(min(due, len(self.waiting))):
                connection.write(self.waiting[at:at + 1])
            sent += min(due, len(self.waiting))
            self.waiting = self.waiting[max(due, 0):]
            await asyncio.sleep(0.001)


class Reboot(Fault):
    """The camera goes without a word, is away for `away` seconds, and comes back on other ports for its media, with another SPS, its
    clock in 1970 until `clock` seconds later, and an ssrc in its replies that is wrong."""

    away = 5.0
    clock = 2.0
    done = False

    async def before(self, session, number):
        if self.done or number < self.spec.at:
            return
        self.done = True
        camera, loop = session.camera, asyncio.get_running_loop()
        for each in camera.truth[-10:]:
            each.state = "maybe" if each.state == "sent" else each.state
        port = camera.listener.sockets[0].getsockname()[1]
        camera.listener.close()
        for connection in list(camera.open):
            connection.reset()
        session.closed = True
        camera.video.sps = make_sps(704, 576, poc_type=camera.video.poc_type, timing=15)
        camera.reports = "1970"

        async def come_back():
            await asyncio.sleep(self.away)
            camera.listener = await camera.listen(port)
            await asyncio.sleep(self.clock)
            camera.reports = "good"

        self.task = loop.create_task(come_back())

    def reply(self, connection, request, reply):
        if self.done and request.method == "SETUP" and reply.get("Transport"):
            reply.set("Transport", re.sub(r"ssrc=\w+", "ssrc=0x12", reply.get("Transport")))


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


class NeedsReports(Fault):
    """Ends a session whose client says nothing over RTCP for some seconds."""

    seconds = 8.0

    async def before(self, session, number):
        now = time.monotonic()
        sender = session.tracks["video"]
        sender.heard = sender.heard or now
        if now - sender.heard > self.seconds:
            session.camera.mistakes.append(f"no receiver report for {self.seconds} s")
            session.connection.reset()
            session.closed = True


class Bye(Fault):
    async def before(self, session, number):
        if self.active(number):
            sender = session.tracks["video"]
            session.send(sender, rtp.bye(sender.ssrc), True)


# --- hostility


class Flood(Fault):
    """As fast as the client reads, up to `mib`. `what`: header, line, body, junk, frames (65,535 bytes, none of a picture), unit
    (one picture without an end), pictures (65,000 bytes each, whole)."""

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
                 "frames": b"$\x00\xff\xff\x80\x60" + b"\x41" * 65533, "body": b"a=x\r\n" * 800}.get(self.what, b"x")
        if self.what in ("unit", "pictures"):
            return await self._rtp(connection)
        for _ in range(self.mib * 2**20 // len(piece)):
            if writer.is_closing():
                return
            writer.write(piece)
            await writer.drain()

    async def _rtp(self, connection):
        whole = self.what == "pictures"
        body = (b"\x65\xb8" if whole else b"\x5c\x01") + b"\x55" * 65000
        for number in range(self.mib * 2**20 // len(body)):
            if connection.writer.is_closing():
                return
            packet = rtp.Packet(body, [], whole, 96, number, number if whole else 0, 7)
            data = packet.encode()
            connection.writer.write(struct.pack(">BBH", 0x24, 0, len(data)) + data)
            await connection.writer.drain()


class RedirectTrap(Fault):
    """DESCRIBE sends the client to another name of this machine, where nobody must come."""

    def reply(self, connection, request, reply):
        if request.method == "DESCRIBE":
            reply.line, reply.body = "RTSP/1.0 302 Found", b""
            reply.headers = [("CSeq", request.headers["cseq"]), ("Location", f"rtsp://localhost:{connection.simulator.trap}/x")]
