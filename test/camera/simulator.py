#!/usr/bin/env python3
"""An RTSP 1.0 server that is many faulty cameras: rtsp://127.0.0.1:PORT/NAME plays the scenario NAME.

    simulator.py [--port N] [NAME...]     serves until it is interrupted; prints the URLs and then the ground truth, a line a unit

The same scenario always sends the same bytes: all that is random comes from its name. Time is real: the clock, the timers and the
sockets of the program under test are (what takes hours is tested with a clock by hand: test/ingest/track_receiver_test.cpp)."""

import argparse
import asyncio
import base64
import hashlib
import json
import os
import random
import re
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from camera import faults as fault_kinds
from camera import faults_media  # noqa: F401 - its faults enter themselves
from camera import rtp
from camera.media import AUD, FILLER, PPS, SPS, Aac, FileH264, G711, H264, Opus, Raw, Unit
from camera.replay import fill
from camera.scenario import load_all

SLOW = 0.03  # seconds
NOT_RECORDED = (SPS, PPS, AUD, FILLER)  # an MP4 keeps parameter sets elsewhere and drops the others


@dataclass
class Truth:
    """One line of the ground truth: what was sent of one NAL unit or audio frame."""

    track: str
    kind: int  # NAL unit type; 0 for audio
    size: int
    hash: str
    time: float  # UTC
    unit: int
    session: int
    state: str  # sent: must be recorded. maybe: may be. damaged: must not be


def digest(data):
    return hashlib.sha1(data).hexdigest()[:16]


@dataclass
class Reply:
    line: str = "RTSP/1.0 200 OK"
    headers: list = field(default_factory=list)
    body: bytes = b""
    separator: str = ": "
    trail: str = ""
    eol: str = "\r\n"
    before: bytes = b""
    after: bytes = b""
    split: int = 0  # bytes a segment; 0 = all at once
    delay: float = 0
    never: bool = False

    def get(self, name):
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def set(self, name, value):
        self.headers = [(k, v) for k, v in self.headers if k.lower() != name.lower()] + [(name, value)]

    def encode(self):
        lines = [self.line] + [f"{name}{self.separator}{value}{self.trail}" for name, value in self.headers]
        return self.before + (self.eol.join(lines) + self.eol * 2).encode() + self.body + self.after


@dataclass
class Request:
    method: str
    url: str
    headers: dict
    number: int  # of the connection, from 0


class Camera:
    """The state of a scenario that outlives its sessions: the encoder goes on where the last session ended."""

    def __init__(self, scenario, folder: Path):
        self.scenario = scenario
        self.rng = random.Random(scenario.name)
        video = scenario.video
        if video.encoder:
            self.video = FileH264(folder, video.encoder, video.fps)
        else:
            self.video = H264(self.rng, video.fps, video.gop, video.slices, video.key_bytes, video.bytes, video.in_band,
                              video.aud, video.sei, video.poc_type, video.recovery, video.timing, video.gops)
        self.audio = make_audio(scenario.audio, self.rng)
        self.faults = [fault_kinds.make(each) for each in scenario.faults]
        self.truth: list[Truth] = []
        self.pictures = 0
        self.sessions = 0
        self.requests = 0
        self.refusals = 0
        self.frozen = False
        self.latest = 0.0  # seconds that a picture was sent behind its time: the machine was busy
        self.mistakes: list[str] = []  # of the client
        self.connections = 0
        self.open: set[Connection] = set()
        self.reports = scenario.rtp.reports
        self.listener = None  # of its own
        self.host = ""
        self.scheme = "rtsp"

    @property
    def url(self):
        return f"{self.scheme}://{self.host}/{self.scenario.name}"

    def hooks(self, name):
        return [getattr(each, name) for each in self.faults if hasattr(each, name)]

    def log(self, unit: Unit, number, session, utc):
        if not unit.sent:
            return
        for nal in unit.nals:
            kind = nal.type if unit.track == "video" else 0
            if unit.track == "video" and kind in NOT_RECORDED:
                continue
            state = "damaged" if nal.damaged else "maybe" if unit.damaged or not unit.required else "sent"
            self.truth.append(Truth(unit.track, kind, len(nal.data), digest(nal.data), utc, number, session, state))

    def sdp(self):
        video, rtp_settings = self.scenario.video, self.scenario.rtp
        number = rtp_settings.payload_type
        lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=simulator", "c=IN IP4 0.0.0.0", "t=0 0", "a=control:*",
                 f"m=video 0 RTP/AVP {number}", f"a=rtpmap:{number} H264/90000"]
        fmtp = f"a=fmtp:{number} packetization-mode=1;profile-level-id=" + self.video.sps[1:4].hex()
        if video.sprop:
            sets = ",".join(base64.b64encode(each).decode() for each in (self.video.sps, self.video.pps))
            fmtp += ";sprop-parameter-sets=" + sets
        lines += [fmtp, "a=control:" + video.control]
        if self.audio:
            number = self.audio_type
            channels = {"MPEG4-GENERIC": "/1", "opus": "/2"}.get(self.audio.name, "")
            lines += [f"m=audio 0 RTP/AVP {number}", f"a=rtpmap:{number} {self.audio.name}/{self.audio.rate}{channels}"]
            if self.audio.fmtp:
                lines.append(f"a=fmtp:{number} {self.audio.fmtp}")
            lines.append("a=control:" + self.scenario.audio.control)
        text = "\r\n".join(lines) + "\r\n"
        for hook in self.hooks("sdp"):
            text = hook(self, text)
        return text.replace("{host}", self.host)

    @property
    def audio_type(self):
        usual = {"PCMU": 0, "PCMA": 8, "PCM": 11, "G726-32": 2}
        if self.scenario.rtp.audio_payload_type:
            return max(self.scenario.rtp.audio_payload_type, 0)
        return usual.get(self.audio.name, 97)


def make_audio(settings, rng):
    codec = settings.codec
    if codec == "none":
        return None
    if codec == "aac":
        return Aac(rng, settings.rate)
    if codec == "opus":
        return Opus(rng)
    if codec in ("pcm", "l16"):
        return Raw(rng, codec.upper(), 48000, 1000)
    if codec == "g726":
        return Raw(rng, "G726-32", 8000, 160)
    return G711(rng, codec.upper())


class Login:
    """What the camera asks of a connection, and whether the answer is right (RFC 7616, RFC 7617)."""

    def __init__(self, camera):
        self.camera, self.auth = camera, camera.scenario.auth
        self.rng = random.Random(f"{camera.scenario.name} {camera.connections}")
        self.renew()

    def renew(self):
        self.nonce = self.rng.randbytes(8).hex()
        self.used = 0
        self.born = time.monotonic()

    def offers(self, stale=False):
        return [each.replace("{nonce}", self.nonce).replace("{stale}", "TRUE" if stale else "false") for each in self.auth.offers]

    def check(self, request):
        """None: come in. Else whether the nonce alone was wrong."""
        if not self.auth.offers:
            return None
        given = request.headers.get("authorization", "")
        scheme, _, rest = given.partition(" ")
        if self.auth.for_ever or not given or (self.auth.lock_at and self.camera.pictures >= self.auth.lock_at):
            return False
        if scheme.lower() == "basic":
            right = base64.b64encode(f"{self.auth.user}:{self.auth.password}".encode()).decode()
            return None if self.auth.accepts == "basic" and rest == right else False
        values = {k.lower(): a or b for k, a, b in re.findall(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|([^,\s]+))', rest)}
        if self.auth.accepts != values.get("algorithm", "MD5").lower():
            return False
        if values.get("nonce") != self.nonce:
            return True
        if self.auth.nonce_requests and self.used >= self.auth.nonce_requests:
            return True
        if self.auth.nonce_seconds and time.monotonic() - self.born > self.auth.nonce_seconds:
            return True
        self.used += 1
        if values.get("uri") != request.url:
            return False

        def h(text):
            return (hashlib.md5 if self.auth.accepts == "md5" else hashlib.sha256)(text.encode()).hexdigest()

        secret = h(f"{self.auth.user}:{self.auth.realm}:{self.auth.password}")
        what = h(f"{request.method}:{request.url}")
        if "qop" in values:
            right = h(f"{secret}:{self.nonce}:{values['nc']}:{values['cnonce']}:{values['qop']}:{what}")
        else:
            right = h(f"{secret}:{self.nonce}:{what}")
        return None if values.get("response") == right else False


class TrackSender:
    """One track of a session: where its packets go, and its RTP numbers."""

    def __init__(self, session, track, clock, payload_type):
        rng, settings = random.Random(f"{session.camera.scenario.name} {session.number} {track}"), session.camera.scenario.rtp
        self.track, self.clock, self.payload_type = track, clock, payload_type
        self.ssrc = rng.getrandbits(32)
        self.sequence = rng.getrandbits(16) if settings.sequence is None else settings.sequence
        self.timestamp = rng.getrandbits(32) if settings.timestamp is None else settings.timestamp
        self.start = None  # media time of its first unit
        self.offset = 0.0  # seconds that its clock is off
        self.speed = 1.0  # of its clock
        self.heard = None  # when the client reported last (RTCP)
        self.channel = None
        self.sockets = None  # RTP and RTCP
        self.peer = None

    def close(self):
        for each in self.sockets or ():
            if each.fileno() >= 0:
                asyncio.get_running_loop().remove_reader(each)
                each.close()

    def rtp_time(self, media_time):
        if self.start is None:
            self.start = media_time
        return self.timestamp + round(((media_time - self.start) * self.speed + self.offset) * self.clock)

    def listen(self):
        """For the reports of the client, over UDP."""

        def take():
            try:
                data = self.sockets[1].recv(2000)
            except OSError:
                return
            self.hear(data)

        asyncio.get_running_loop().add_reader(self.sockets[1], take)

    def hear(self, data):
        if len(data) >= 8 and data[0] >> 6 == 2 and data[1] == 201:
            self.heard = time.monotonic()


class Session:
    def __init__(self, connection):
        self.connection = connection
        self.camera: Camera = connection.camera
        self.number = self.camera.sessions
        self.camera.sessions += 1
        self.tracks: dict[str, TrackSender] = {}
        self.task = None
        self.closed = False

    def set_up(self, track, transport):
        """The Transport header of the reply, None if it is refused."""
        audio = self.camera.audio
        number = self.camera.scenario.rtp.payload_type if track == "video" else self.camera.audio_type
        sender = TrackSender(self, track, 90000 if track == "video" else audio.rate, number)
        if match := re.search(r"interleaved=(\d+)-(\d+)", transport):
            sender.channel = int(match[1])
            reply = f"RTP/AVP/TCP;unicast;interleaved={match[1]}-{match[2]};ssrc={sender.ssrc:08X}"
        elif match := re.search(r"client_port=(\d+)-(\d+)", transport):
            sender.sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
            for each in sender.sockets:
                each.bind(("127.0.0.1", 0))
                each.setblocking(False)
            sender.listen()
            sender.peer = int(match[1])
            ports = "-".join(str(each.getsockname()[1]) for each in sender.sockets)
            reply = f"RTP/AVP;unicast;client_port={match[1]}-{match[2]};server_port={ports};ssrc={sender.ssrc:08X}"
        else:
            return None
        self.tracks[track] = sender
        return reply

    def close(self):
        self.closed = True
        if self.task:
            self.task.cancel()
        for each in self.tracks.values():
            each.close()

    def damage_sent(self, data):
        """Of the unit that is being sent, this packet (or report) does not arrive."""
        for packet in self.sending:
            if packet.encode() == data:
                self.unit.damage(*packet.nals)

    sending = ()
    ending = False  # what is sent may come too late

    def send(self, sender, data, rtcp=False):
        """Datagram or interleaved frame, through the faults of the wire."""
        if sender.channel is None:
            sender.sockets[rtcp].sendto(data, ("127.0.0.1", sender.peer + rtcp))
            return
        frame = struct.pack(">BBH", 0x24, sender.channel + rtcp, len(data)) + data
        for hook in self.camera.hooks("frame"):
            frame = hook(self, sender, frame)
        self.connection.write(frame)

    def send_unit(self, unit: Unit, number, due=None):
        """`due`: when it should be sent (UTC), which is what the recording should show; it may be later than that."""
        camera, sender = self.camera, self.tracks.get(unit.track)
        if sender is None:
            return
        utc = time.time() if due is None else due
        for hook in camera.hooks("unit"):
            hook(self, unit, number)
        if unit.track == "video":
            video = camera.scenario.video
            packets = rtp.packetize_h264(unit, video.packet, video.aggregate)
        elif isinstance(camera.audio, Aac):
            packets = rtp.packetize_aac(unit)
        else:
            packets = rtp.packetize_g711(unit)
        timestamp = sender.rtp_time(unit.time)
        for packet in packets:
            packet.payload_type, packet.timestamp, packet.ssrc = sender.payload_type, timestamp, sender.ssrc
        for hook in camera.hooks("packets"):
            packets = hook(self, sender, unit, number, packets)
        for packet in packets:
            packet.sequence = sender.sequence
            sender.sequence += 1
        for hook in camera.hooks("sequenced"):
            packets = hook(self, sender, unit, number, packets)
        self.unit, self.sending = unit, packets
        begin = time.monotonic()
        for packet in packets:
            self.send(sender, packet.encode())
        if sender.channel is None and time.monotonic() - begin > SLOW:
            # This machine was held up between packets for longer than a recorder waits for those that come in another order.
            unit.damage()
        if self.ending:
            unit.required = False
        self.sending = ()
        camera.log(unit, number, self.number, utc)

    def send_report(self, sender, media_time, due):
        """`due`: UTC of `media_time`. Both tracks tell it of one moment, however late they are sent."""
        mode = self.camera.reports
        if mode == "none":
            return
        utc = due + rtp.NTP_EPOCH
        utc = {"1900": media_time, "1970": rtp.NTP_EPOCH + media_time, "local": utc + 2 * 3600,
               "steps": utc + 7 * (int(media_time) % 3)}.get(mode, utc)
        self.send(sender, rtp.sender_report(sender.ssrc, utc, sender.rtp_time(media_time)), True)

    async def play(self):
        camera = self.camera
        camera.video.restart()
        begin = camera.began = asyncio.get_running_loop().time()
        utc = time.time()
        period = 1 / camera.scenario.video.fps
        sound = self.play_sound(camera.audio, begin, utc) if camera.audio else None
        sent = 0
        while not self.closed:
            number = camera.pictures
            # Irregular cameras: how much later, in seconds, this picture is taken than it would be.
            late = sum(hook(number) for hook in camera.hooks("irregular"))
            if sound:
                await sound(begin + sent * period + late, number - 1)
            await asyncio.sleep(begin + sent * period + late - asyncio.get_running_loop().time())
            if camera.frozen or self.closed:
                return
            for hook in camera.hooks("before"):
                await hook(self, number)
                if self.closed:
                    return
            camera.latest = max(camera.latest, time.time() - utc - sent * period - late)
            unit = camera.video.next()
            unit.time += late
            camera.pictures += 1
            if sent % 10 == 5:
                for sender in self.tracks.values():
                    if sender.start is not None:
                        self.send_report(sender, sender.start + sent * period, utc + sent * period)
            self.send_unit(unit, number, utc + sent * period + late)
            sent += 1

    def play_sound(self, audio, begin, utc):
        """A function that sends what is complete until a moment: no camera sends sound that was not heard yet."""
        first = audio.number

        async def until(moment, number):
            while (end := (audio.number + 1 - first) * audio.samples / audio.rate) <= moment - begin:
                await asyncio.sleep(begin + end - asyncio.get_running_loop().time())
                if self.camera.frozen or self.closed:
                    return
                self.send_unit(audio.next(), number, utc + end - audio.samples / audio.rate)

        return until


class Connection:
    def __init__(self, simulator, reader, writer):
        self.simulator, self.reader, self.writer = simulator, reader, writer
        self.camera: Camera | None = None
        self.session: Session | None = None
        self.login = None
        self.count = 0
        self.id = ""
        self.described = False
        self.held = None  # what has to wait until a reply is whole

    def write(self, data):
        if self.held is not None:
            self.held += data
        elif not self.writer.is_closing():
            if self.camera:
                for hook in self.camera.hooks("wire"):
                    hook(self, data)
            self.writer.write(data)

    def reset(self):
        """RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def run(self):
        try:
            while request := await self.read_request():
                await self.answer(request)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ssl.SSLError):
            pass
        finally:
            if self.camera:
                self.camera.open.discard(self)
            if self.session:
                self.session.close()
            self.writer.close()

    async def read_request(self):
        while True:
            first = await self.reader.readexactly(1)
            if first == b"$":
                header = await self.reader.readexactly(3)
                data = await self.reader.readexactly(int.from_bytes(header[1:], "big"))
                for sender in self.session.tracks.values() if self.session else ():
                    if sender.channel is not None and sender.channel + 1 == header[0]:
                        sender.hear(data)
                continue
            text = (first + await self.reader.readuntil(b"\r\n\r\n")).decode()
            lines = text.split("\r\n")
            if lines[0].startswith("RTSP/"):
                continue  # the answer to a request of ours
            method, url, _ = lines[0].split(" ")
            headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:]) if k}
            if "\r\nCSeq: " not in text:
                return None  # exactly this spelling, or some cameras do not answer (quirk R1)
            self.count += 1
            return Request(method, url, headers, self.count - 1)

    async def answer(self, request):
        if self.camera is None:
            name = re.sub(r"^rtsps?://[^/]*/", "", request.url).split("/")[0].split("?")[0]
            self.camera = self.simulator.cameras.get(name)
            if self.camera is None:
                return self.write(f"RTSP/1.0 404 Not Found\r\nCSeq: {request.headers['cseq']}\r\n\r\n".encode())
            self.camera.connections += 1
            self.camera.open.add(self)
            self.login = Login(self.camera)
        camera = self.camera
        camera.requests += 1
        reply = Reply(headers=[("CSeq", request.headers["cseq"])])
        refused = self.login.check(request)
        if refused is not None:
            camera.refusals += 1
            if refused:
                self.login.renew()
            reply.line = "RTSP/1.0 401 Unauthorized"
            reply.headers += [("WWW-Authenticate", each) for each in self.login.offers(refused)]
        else:
            self.respond(request, reply)
        for hook in camera.hooks("reply"):
            hook(self, request, reply)
        await self.send_reply(request, reply)

    def respond(self, request, reply):
        # What breaks some camera is never sent (quirks R12, R13, R15).
        if "require" in request.headers or "mode=" in request.headers.get("transport", "") or "user-agent" not in request.headers:
            self.camera.mistakes.append(f"{request.method} with headers {request.headers}")
            reply.line = "RTSP/1.0 551 Option not supported"
            return
        if request.method == "SETUP" and not self.described:
            self.camera.mistakes.append("SETUP without DESCRIBE on this connection")
            reply.line = "RTSP/1.0 455 Method Not Valid In This State"
            return
        expected = {
            key: value.replace("{url}", self.camera.url).replace("{host}", self.camera.host).replace("{path}", self.camera.scenario.name)
            for key, value in asdict(self.camera.scenario.urls).items()}
        if request.method == "OPTIONS":
            reply.set("Public", "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER")
        elif request.method == "DESCRIBE":
            self.described = True
            reply.body = self.camera.sdp().encode()
            reply.set("Content-Type", "application/sdp")
            reply.set("Content-Base", expected["content_base"])
            reply.set("Content-Length", str(len(reply.body)))
            if self.camera.scenario.replay:
                reply.headers = reply.headers[:1]
                fill(reply, self.camera.scenario.replay["head"], self.camera)
        elif request.method == "SETUP":
            # Two media at one URL are set up one after the other.
            there = self.session.tracks if self.session else ()
            track = next((each for each in ("video", "audio") if request.url == expected[each] and each not in there
                          and (each == "video" or self.camera.audio)), None)
            if track is None and request.url in (expected["video"], expected["audio"]):
                reply.line = "RTSP/1.0 404 Not Found"
                return
            if track is None:
                self.camera.mistakes.append(f"SETUP {request.url}, neither {expected['video']} nor {expected['audio']}")
                reply.line = "RTSP/1.0 404 Not Found"
                return
            self.session = self.session or Session(self)
            self.id = self.id or f"{zlib.crc32(self.camera.scenario.name.encode()) + self.camera.connections:08X}"
            transport = self.session.set_up(track, request.headers.get("transport", ""))
            if transport is None:
                reply.line = "RTSP/1.0 461 Unsupported Transport"
                return
            reply.set("Transport", transport)
            reply.set("Session", self.id + ";timeout=60")
        elif request.method == "PLAY":
            if expected["play"] and request.url != expected["play"]:
                self.camera.mistakes.append(f"PLAY {request.url}, not {expected['play']}")
            if request.headers.get("session") != self.id:
                self.camera.mistakes.append(f"PLAY with session {request.headers.get('session')}, not {self.id}")
            reply.set("Session", self.id)
            reply.set("RTP-Info", f"url={expected['video']};seq=1;rtptime=1")
        elif request.method == "GET_PARAMETER":
            reply.set("Session", self.id)
        elif request.method == "TEARDOWN":
            if self.session:
                self.session.close()
        else:
            reply.line = "RTSP/1.0 501 Not Implemented"

    async def send_reply(self, request, reply):
        ok = " 200" in reply.line or reply.line.rstrip().endswith("200")
        playing = request.method == "PLAY" and ok and self.session is not None and self.session.task is None
        if reply.delay:
            await asyncio.sleep(reply.delay)
        if playing:
            for hook in self.camera.hooks("before_play"):
                hook(self.session)
        if not reply.never:
            data = reply.encode()
            for hook in self.camera.hooks("reply_bytes"):
                data = hook(self, data)
            await self._write_in_pieces(data, reply.split) if reply.split else self.write(data)
        if playing:
            self.session.task = asyncio.create_task(self.session.play())
        for hook in self.camera.hooks("flood"):
            await hook(self, request)


    async def _write_in_pieces(self, data, size):
        self.held = b""
        await self.writer.drain()
        # Each in a segment of its own, with a pause behind some of the first. A pause behind each would take a camera among
        # two hundred longer than the client waits.
        with socket.socket(fileno=os.dup(self.writer.get_extra_info("socket").fileno())) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pauses = set(range(0, 8 * size, size))
            for at in range(0, len(data), size):
                if self.writer.transport.get_write_buffer_size():
                    self.writer.write(data[at:at + size])
                else:
                    sock.send(data[at:at + size])
                if at in pauses:
                    await asyncio.sleep(0.01)
        rest, self.held = self.held, None
        self.write(rest)


class Simulator:
    """Serves `scenarios` on a thread of its own from start() to stop()."""

    def __init__(self, scenarios, folder: Path, port=0):
        self.cameras = {each.name: Camera(each, folder) for each in scenarios}
        self.port = port
        self.folder = folder
        self.fingerprint = ""  # SHA-256 of the certificate of the cameras with TLS
        self.trapped = 0  # connections to where only a camera could have sent the client
        self.trap = 0  # the port of that place
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self.thread.start()
        if not self.ready.wait(10):
            raise RuntimeError("the simulator did not start")
        return self

    def url(self, name):
        return self.cameras[name].url + self.cameras[name].scenario.camera.query

    def freeze(self):
        """No camera sends any more media."""
        for camera in self.cameras.values():
            camera.frozen = True

    def stop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)

    def _run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self._listen())
        self.loop.run_forever()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))

    async def _listen(self):
        async def serve(reader, writer):
            await Connection(self, reader, writer).run()

        async def spring(_, writer):
            self.trapped += 1
            writer.close()

        def port_of(server):
            return server.sockets[0].getsockname()[1]

        async def listen(port=0, tls=None):
            return await asyncio.start_server(serve, "127.0.0.1", port, ssl=tls)

        server = await listen(self.port)
        self.port = port_of(server)
        secure = None
        self.trap = port_of(await asyncio.start_server(spring, "127.0.0.1", 0))
        for camera in self.cameras.values():
            settings = camera.scenario.camera
            port = self.port
            if settings.own_port:
                camera.listen = listen
                camera.listener = await listen()
                port = port_of(camera.listener)
            elif settings.tls:
                secure = secure or await listen(tls=self._certificate())
                port, camera.scheme = port_of(secure), "rtsps"
            camera.host = f"127.0.0.1:{port}"
        self.ready.set()

    def _certificate(self):
        path = self.folder / "camera.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=camera",
                        "-keyout", path, "-out", self.folder / "certificate.pem"], check=True, capture_output=True)
        text = (self.folder / "certificate.pem").read_text()
        path.write_text(path.read_text() + text)
        self.fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(text)).hexdigest()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("."), help="where the stream of ffmpeg is kept")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    chosen = [each for each in load_all() if not arguments.names or each.name in arguments.names]
    simulator = Simulator(chosen, arguments.folder, arguments.port).start()
    for name in simulator.cameras:
        print(simulator.url(name), flush=True)
    told = dict.fromkeys(simulator.cameras, 0)
    try:
        while True:
            time.sleep(0.2)
            for name, camera in simulator.cameras.items():
                for truth in camera.truth[told[name]:]:
                    print(json.dumps({"camera": name, **asdict(truth)}), flush=True)
                    told[name] += 1
    except KeyboardInterrupt:
        simulator.stop()


if __name__ == "__main__":
    main()
