"""A faulty HTTP proxy between miharu and a store: what links and stores do wrong, on demand or by seeded chance.

In a test (the proxy is a process of its own, so that it does not share the test's interpreter):

    with FaultyProxy(store.port) as proxy:                 # a port of 127.0.0.1; proxy.port is the one to connect to
        proxy.set(up=5_000_000, down=20_000_000, rtt=0.04) # bits a second and seconds; 0: no limit
        proxy.set(delay={"list": 0.05})                    # seconds before a request of that kind is handed on; "*": all
        proxy.set(chances={"busy": .1, "lost": .05}, kinds=["put"])
        proxy.cut("hang")                                  # "refuse", "hang", "reset"
        proxy.restore()
        proxy.requests()                                   # those that ended since the last call: dicts, see Request.told

From another language: `python3 faulty_proxy.py STORE_PORT` prints {"port": N}, takes one JSON object a line on its standard
input (`{"up": 5000000}`, `{"cut": "hang"}`, `{"cut": null}`, `{"report": true}`), answers each with one line, and ends with
its input.

Kinds of request: put, get, list, head, delete, post. The Host field is handed on as it came, so that signatures hold: the
client signs for the proxy's port. Chances, each the share of the requests of `kinds` (all by default):

    busy        503 SlowDown in the store's stead, before or after the body was read
    cut         the connection is reset in the middle of the request's body (or before the request is handed on)
    lost        the store has done it; the connection is reset before a byte of its reply
    truncated   likewise, in the middle of the reply's header
    short       in the middle of the reply's body
    slow        the reply comes in pieces over up to `slow` seconds (3)
    stall       the store has done it, and no reply comes as long as the client waits

Bandwidth is one queue for all connections in each direction, served in pieces of 5 ms, so connections share it evenly. The
round trip is waited for where a client waits for one: a connection's start, each request, each consent to a body.
`date_shift` seconds are added to the Date of replies. The same seed and the same order of requests give the same faults.
"""
import argparse
import asyncio
import contextlib
import email.utils
import json
import pathlib
import random
import re
import socket
import struct
import subprocess
import sys
import time

FAULTS = ("busy", "cut", "lost", "truncated", "short", "slow", "stall")
BUSY_BODY = b"<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
MOST_HEAD = 64 << 10
MOST_PIECE = 256 << 10
PIECE_SECONDS = 0.005


class Gone(Exception):
    """A side ended its connection, or this proxy did."""


class Link:
    """One direction of the line: what all connections send goes through it one after the other."""

    def __init__(self):
        self.rate = 0
        self.free_at = 0.0

    @property
    def piece(self):
        return MOST_PIECE if not self.rate else max(1 << 10, min(MOST_PIECE, int(self.rate / 8 * PIECE_SECONDS)))

    async def take(self, count):
        if not self.rate:
            return
        now = time.monotonic()
        # Timers are late by a millisecond or so: what that costs is caught up on.
        self.free_at = max(now - 4 * PIECE_SECONDS, self.free_at) + count * 8 / self.rate
        await asyncio.sleep(self.free_at - now)


class Head:
    """The start line and fields of a message, as they came."""

    def __init__(self, data):
        self.data = data
        lines = data.decode("latin-1").split("\r\n")
        self.start = lines[0].split(" ", 2)
        self.fields = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if colon:
                self.fields[name.strip().lower()] = value.strip()

    @property
    def length(self):
        return int(self.fields.get("content-length", 0))

    @property
    def chunked(self):
        return "chunked" in self.fields.get("transfer-encoding", "").lower()

    @property
    def closes(self):
        return self.fields.get("connection", "").lower() == "close" or self.start[0] == "HTTP/1.0"


class Request(Head):
    def __init__(self, data):
        super().__init__(data)
        self.method, self.target = self.start[0], self.start[1]
        self.at = time.time()
        self.fault = None
        self.status = None  # of the store's reply
        self.sent = 0       # bytes of the body that went on to the store
        self.done = None    # when the whole reply had been handed on
        self.ended = None   # when it was over, one way or the other

    @property
    def kind(self):
        if self.method == "GET" and re.search(r"[?&]list-type=2(&|$)", self.target):
            return "list"
        return self.method.lower()

    @property
    def expects(self):
        return "100-continue" in self.fields.get("expect", "").lower()

    def told(self):
        return {"kind": self.kind, "target": self.target, "at": self.at, "done": self.done, "ended": self.ended, "fault": self.fault,
                "status": self.status, "sent": self.sent, "length": self.length, "expects": self.expects}


async def read_head(reader):
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError) as error:
        raise Gone from error


def reset(writer):
    """Ends with RST, so that the other side sees a broken connection and no orderly end."""
    with contextlib.suppress(OSError, AttributeError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Session:
    """A client's connection, and the one to the store that belongs to it."""

    def __init__(self, proxy, reader, writer):
        self.proxy, self.reader, self.writer = proxy, reader, writer
        self.store_reader = self.store_writer = None

    async def run(self):
        proxy = self.proxy
        try:
            await proxy.flowing.wait()
            await asyncio.sleep(proxy.rtt)
            while True:
                head = await read_head(self.reader)
                await proxy.flowing.wait()
                request = Request(head)
                request.fault = proxy.draw(request.kind)
                try:
                    await proxy.up.take(len(head))
                    await asyncio.sleep(proxy.rtt + proxy.delay.get(request.kind, proxy.delay.get("*", 0)))
                    if not await self.exchange(request):
                        break
                finally:
                    request.ended = time.time()
                    proxy.log.append(request)
        except (Gone, OSError):
            pass
        finally:
            self.close()

    def close(self):
        for writer in (self.writer, self.store_writer):
            if writer is not None:
                writer.close()

    def reset(self):
        for writer in (self.writer, self.store_writer):
            if writer is not None:
                reset(writer)

    async def exchange(self, request):
        """False when the connection is over."""
        if request.fault == "busy":
            return await self.refuse(request)
        if self.store_writer is None or self.store_reader.at_eof():
            self.store_reader, self.store_writer = await asyncio.open_connection(
                "127.0.0.1", self.proxy.store, limit=MOST_HEAD)
        if request.fault == "cut":
            await self.cut_off(request)
            return False
        self.store_writer.write(request.data)
        body = asyncio.create_task(self.hand_on_body(request))
        try:
            reply = await self.reply_head(request)
            # Refused before the body: who asked for consent does not send it, others have begun.
            refused = not body.done() and request.expects and request.sent == 0
            if refused:
                body.cancel()
                await asyncio.wait({body})
                reply.data = reply.data[:-2] + b"Connection: close\r\n\r\n"
            keep = await self.hand_on_reply(request, reply)
            if refused:
                await self.discard_body(request)
                return False
            await asyncio.wait({body})
            return keep and body.exception() is None
        finally:
            body.cancel()
            with contextlib.suppress(asyncio.CancelledError, Gone, OSError):
                await body

    async def refuse(self, request):
        proxy = self.proxy
        early = request.expects or proxy.random.random() < 0.5
        if not early:
            await self.take_body(request, request.length, None)
        request.status = 503
        over = early and request.length > 0
        head = (f"HTTP/1.1 503 Slow Down\r\nDate: {email.utils.formatdate(time.time() + proxy.date_shift, usegmt=True)}\r\n"
                f"Content-Type: application/xml\r\nContent-Length: {len(BUSY_BODY)}\r\n"
                f"{'Connection: close' + chr(13) + chr(10) if over else ''}\r\n").encode()
        await self.to_client(head + (b"" if request.method == "HEAD" else BUSY_BODY))
        request.done = time.time()
        if over:
            await self.discard_body(request)
        return not over

    async def discard_body(self, request):
        """Of a request that was refused before it. Its client may have begun, also one that asked for consent: nobody has to wait for
        that for ever (RFC 9110 section 10.1.1). A server that closes with unread bytes resets the connection, and its answer may be
        lost with it; one that goes on takes them for the next request."""
        with contextlib.suppress(Gone, OSError, asyncio.TimeoutError):
            await asyncio.wait_for(self.take_body(request, request.length, None), 1)

    async def cut_off(self, request):
        if request.length > 0 and not request.expects:
            self.store_writer.write(request.data)
            await self.take_body(request, int(self.proxy.random.random() * request.length), self.store_writer)
        self.reset()

    async def take_body(self, request, length, to):
        """Reads so many bytes of the request's body; `to` may be nowhere."""
        left = length
        while left > 0:
            await self.proxy.flowing.wait()
            try:
                data = await self.reader.read(min(left, self.proxy.up.piece))
            except ConnectionError as error:
                raise Gone from error
            if not data:
                raise Gone
            left -= len(data)
            await self.proxy.up.take(len(data))
            await self.proxy.flowing.wait()
            if to is not None:
                to.write(data)
                request.sent += len(data)
                await to.drain()

    async def hand_on_body(self, request):
        try:
            if request.chunked:
                raise Gone  # nobody here sends such bodies
            await self.take_body(request, request.length, self.store_writer)
        except Gone:
            self.store_writer.close()
            raise

    async def reply_head(self, request):
        """Of the final reply; a consent to the body is handed on."""
        while True:
            reply = Head(await read_head(self.store_reader))
            if reply.start[1] != "100":
                request.status = int(reply.start[1])
                return reply
            await self.to_client(reply.data)
            await asyncio.sleep(self.proxy.rtt)

    async def hand_on_reply(self, request, reply):
        proxy, fault = self.proxy, request.fault
        head = self.shifted(reply.data)
        if fault == "lost":
            self.reset()
            raise Gone
        if fault == "truncated":
            await self.to_client(head[:1 + proxy.random.randrange(len(head) - 1)])
            await asyncio.sleep(0.01)
            self.close()
            raise Gone
        if fault == "stall":
            # Until the client ends it; what it sends meanwhile is none of ours.
            with contextlib.suppress(OSError):
                while await self.reader.read(MOST_PIECE):
                    pass
            raise Gone
        if fault == "slow":
            await self.dribble(head)
        else:
            await self.to_client(head)
        status = request.status
        if request.method != "HEAD" and status not in (204, 304):
            if reply.chunked:
                await self.hand_on_chunks()
            elif "content-length" in reply.fields:
                most = reply.length
                if fault == "short" and most > 0:
                    most = proxy.random.randrange(most)
                await self.hand_on_bytes(most)
                if fault == "short" and reply.length > 0:
                    self.close()
                    raise Gone
            else:
                await self.hand_on_bytes(None)
                return False
        request.done = time.time()
        return not reply.closes and not request.closes

    def shifted(self, head):
        if not self.proxy.date_shift:
            return head
        date = email.utils.formatdate(time.time() + self.proxy.date_shift, usegmt=True).encode()
        return re.sub(rb"(?i)\r\ndate:[^\r]*", b"\r\nDate: " + date, head)

    async def dribble(self, data):
        pieces = 8
        pause = self.proxy.random.random() * self.proxy.slow / pieces
        size = -(-len(data) // pieces)
        for at in range(0, len(data), size):
            await asyncio.sleep(pause)
            await self.to_client(data[at:at + size])

    async def to_client(self, data):
        link = self.proxy.down
        for at in range(0, len(data), link.piece):
            piece = data[at:at + link.piece]
            await link.take(len(piece))
            await self.proxy.flowing.wait()
            self.writer.write(piece)
            await self.writer.drain()

    async def hand_on_bytes(self, count):
        """None: to the end of the connection."""
        while count is None or count > 0:
            data = await self.store_reader.read(self.proxy.down.piece if count is None else min(count, self.proxy.down.piece))
            if not data:
                if count is None:
                    return
                raise Gone
            if count is not None:
                count -= len(data)
            await self.to_client(data)

    async def hand_on_chunks(self):
        while True:
            try:
                line = await self.store_reader.readuntil(b"\r\n")
            except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
                raise Gone from error
            await self.to_client(line)
            size = int(line.split(b";")[0], 16)
            await self.hand_on_bytes(size + 2)
            if size == 0:
                return


class Proxy:
    def __init__(self, store, seed):
        self.store = store
        self.random = random.Random(seed)
        self.up, self.down = Link(), Link()
        self.rtt = 0.0
        self.delay = {}
        self.chances = {}
        self.kinds = None
        self.slow = 3.0
        self.date_shift = 0.0
        self.cut = None
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.sessions = {}
        self.log = []
        self.server = None
        self.port = 0

    def draw(self, kind):
        """One number a request, whatever is set: what is changed meanwhile shifts no later fault."""
        drawn = self.random.random()
        if self.kinds is not None and kind not in self.kinds:
            return None
        for fault in FAULTS:
            drawn -= self.chances.get(fault, 0)
            if drawn < 0:
                return fault
        return None

    async def listen(self):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # A line has no megabytes of buffer: what the client has sent is what went through, or nearly.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
        listener.bind(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        self.server = await asyncio.start_server(self.accepted, sock=listener, limit=MOST_HEAD, backlog=256)

    async def accepted(self, reader, writer):
        if self.cut == "reset":
            reset(writer)
            return
        session = Session(self, reader, writer)
        self.sessions[session] = asyncio.current_task()
        try:
            await session.run()
        finally:
            del self.sessions[session]

    async def set_cut(self, how):
        if how not in (None, "refuse", "hang", "reset"):
            raise ValueError(f"no such cut: {how}")
        self.cut = how
        if how == "hang":
            self.flowing.clear()
        else:
            self.flowing.set()
        if how in ("refuse", "reset"):
            for session, task in list(self.sessions.items()):
                session.reset()
                task.cancel()
        if how == "refuse" and self.server is not None:
            self.server.close()
            self.server = None
        if how != "refuse" and self.server is None:
            await self.listen()

    async def command(self, told):
        told = dict(told)
        answer = {"port": self.port}
        if told.pop("report", False):
            answer["requests"] = [each.told() for each in self.log]
            self.log = []
        if "up" in told:
            self.up.rate = told.pop("up")
        if "down" in told:
            self.down.rate = told.pop("down")
        if "chances" in told:
            unknown = set(told["chances"]) - set(FAULTS)
            if unknown:
                raise ValueError(f"no such faults: {unknown}")
        for name in ("rtt", "delay", "chances", "kinds", "slow", "date_shift"):
            if name in told:
                setattr(self, name, told.pop(name))
        if "cut" in told:
            await self.set_cut(told.pop("cut"))
        if told:
            raise ValueError(f"unknown: {', '.join(told)}")
        return answer


async def main(store, seed):
    proxy = Proxy(store, seed)
    await proxy.listen()
    print(json.dumps({"port": proxy.port}), flush=True)
    commands = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        try:
            answer = await proxy.command(json.loads(line))
        except (ValueError, TypeError, OSError) as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


class FaultyProxy:
    """The process, and its control. Not thread-safe."""

    def __init__(self, store_port, seed=1):
        self.process = subprocess.Popen([sys.executable, pathlib.Path(__file__).resolve(), str(store_port), "--seed", str(seed)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = json.loads(self.process.stdout.readline())["port"]

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def set(self, **what):
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert "error" not in answer, answer["error"]
        return answer

    def cut(self, how="refuse"):
        self.set(cut=how)

    def restore(self):
        self.set(cut=None)

    def requests(self):
        return self.set(report=True)["requests"]

    def stop(self):
        if self.process is not None:
            self.process.stdin.close()
            self.process.wait(10)
            self.process.stdout.close()
            self.process = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("store", type=int, help="the store's port on 127.0.0.1")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.store, arguments.seed))
