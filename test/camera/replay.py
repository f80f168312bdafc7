"""Cameras made of what real ones have said: replies to DESCRIBE of test/data/rtsp, and whole connections that were recorded.

The addresses in them become the simulator's. Pictures and sound are the simulator's own, in the formats that were described;
parameter sets are sent with each key frame, since those of the description are another camera's."""

import asyncio
import json
import re
import struct
from dataclasses import dataclass
from pathlib import Path

from camera.scenario import parse

DATA = Path(__file__).resolve().parents[1] / "data/rtsp"
SOUND = {"MPEG4-GENERIC": "aac", "PCMU": "pcmu", "PCMA": "pcma"}  # what is recorded


def at_home(text, name, authority):
    """The addresses in `text` become {host}/NAME: all with a scheme, and that of the request without one."""
    text = re.sub(r"(?i)(rtsp://)[^/\s;,]+", rf"\1{{host}}/{name}", text)
    return re.sub(rf"(?m)(?<![\w/.]){re.escape(authority)}(?=/)", f"{{host}}/{name}", text)


def scenario_of(entry):
    name = re.sub(r"[^a-z0-9]+", "-", entry["name"].lower()).strip("-")[-31:].strip("-")
    data = (DATA / "describe" / entry["file"]).read_bytes().decode("utf-8", "surrogateescape")
    scheme, authority, path = re.match(r"(rtsp://)([^/]+)(.*)", entry["request_url"]).groups()
    head, body = data.split("\r\n\r\n", 1) if entry["kind"] == "describe" else ("", data)

    def url(stream):
        return at_home(stream["control_url"] or entry["base_url"], name, authority)

    recorded = [each for each in entry["streams"] if each["usable"] is True]
    video = next((each for each in recorded if any(f["encoding"] == "H264" for f in each["formats"])), None)
    # Whichever sound is recorded, it is the first that can be.
    audio = next((each for each in recorded if each["media"] == "audio" and each["formats"][0]["encoding"] in SOUND), None)
    table = {"name": name, "title": entry.get("note") or entry["name"], "camera": {"query": path}, "video": {}, "rtp": {}}
    if video is None:
        table["expect"] = {"recording": "none", "error": "offers no video|described its stream", "connects": 9, "units": 0}
    else:
        number = next(f["pt"] for f in video["formats"] if f["encoding"] == "H264")
        table["rtp"]["payload_type"] = number
        table["urls"] = {"video": url(video), "play": at_home(entry["aggregate_url"], name, authority)}
    if video is not None and audio is not None and url(audio) != url(video):
        form = audio["formats"][0]
        table["audio"] = {"codec": SOUND[form["encoding"]], "rate": form["clock"]}
        table["rtp"]["audio_payload_type"] = form["pt"] or -1
        table["urls"]["audio"] = url(audio)
        table["expect"] = {"audio": "exact" if form["encoding"] == "MPEG4-GENERIC" else "present"}
    out = parse(table, entry["file"])
    out.replay = {"head": at_home(head, name, authority), "sdp": at_home(body, name, authority)}
    return out


def describe_scenarios():
    table = json.loads((DATA / "describe.json").read_text(encoding="utf-8"))
    return [scenario_of(each) for cases in table.values() if isinstance(cases, list) for each in cases]


def fill(reply, text, camera):
    """Makes a reply of a recorded one. A Content-Length that was wrong stays wrong by as much."""
    body = camera.scenario.replay["sdp"].replace("{host}", camera.host).encode("utf-8", "surrogateescape")
    reply.body = body
    reply.set("Content-Type", "application/sdp")
    reply.set("Content-Length", str(len(body)))
    lines = text.replace("{host}", camera.host).split("\r\n")
    if not lines[0]:
        return
    reply.line = lines[0]
    for line in lines[1:]:
        name, _, value = line.partition(":")
        if name.lower() not in ("cseq", "content-length", "content-type", "www-authenticate"):
            reply.set(name, value.strip())


# --- whole connections


@dataclass
class Piece:
    """What a camera wrote at once: seconds since the connection began, and bytes."""

    time: float
    data: bytes


def save(path, pieces):
    """8 bytes a piece (milliseconds, length; big-endian), then the bytes."""
    path.write_bytes(b"".join(struct.pack(">II", round(each.time * 1000), len(each.data)) + each.data for each in pieces))


def load(path):
    data, at, out = path.read_bytes(), 0, []
    while at < len(data):
        ms, size = struct.unpack_from(">II", data, at)
        out.append(Piece(ms / 1000, data[at + 8:at + 8 + size]))
        at += 8 + size
    return out


class Tape:
    """Serves one recorded connection, to each client from its beginning: a reply when there is a request for it, all else at its
    time. At the end it stays silent."""

    def __init__(self, pieces):
        self.pieces = pieces
        self.connections = 0
        self.finished = False

    async def serve(self, reader, writer):
        self.connections += 1
        requests = asyncio.Queue()
        reading = asyncio.create_task(self._read(reader, requests))
        late = 0.0
        begin = asyncio.get_running_loop().time()
        try:
            for piece in self.pieces:
                now = asyncio.get_running_loop().time() - begin
                if piece.data.startswith(b"RTSP/"):
                    await requests.get()
                    late = asyncio.get_running_loop().time() - begin - piece.time
                elif piece.time + late > now:
                    await asyncio.sleep(piece.time + late - now)
                writer.write(piece.data)
                await writer.drain()
            self.finished = True
            await reading
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            reading.cancel()
            writer.close()

    @staticmethod
    async def _read(reader, requests):
        while first := await reader.read(1):
            if first == b"$":
                head = await reader.readexactly(3)
                await reader.readexactly(int.from_bytes(head[1:], "big"))
            else:
                await reader.readuntil(b"\r\n\r\n")
                requests.put_nowait(None)
