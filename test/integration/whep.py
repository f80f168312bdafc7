"""The viewers' side of live view: offers, WHEP requests, and programs that play."""
import functools
import json
import re
import secrets
import subprocess
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass

from harness import ROOT, wait_until

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"
H264 = ["a=rtpmap:102 H264/90000", "a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
        "a=rtcp-fb:102 nack", "a=rtpmap:103 rtx/90000", "a=fmtp:103 apt=102"]


def offer(codec=H264, ufrag=None, more=()):
    """What a browser that only receives sends, of one m= line."""
    types = " ".join(re.match(r"a=rtpmap:(\d+)", line)[1] for line in codec if line.startswith("a=rtpmap"))
    lines = ["v=0", "o=- 4611731400430051336 2 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE 0",
             f"m=video 9 UDP/TLS/RTP/SAVPF {types}", "c=IN IP4 0.0.0.0", *credentials(ufrag), "a=ice-options:trickle",
             "a=fingerprint:sha-256 " + ":".join(["AB"] * 32), "a=setup:actpass", "a=mid:0", "a=recvonly", "a=rtcp-mux",
             *codec, *more]
    return "".join(line + "\r\n" for line in lines)


def credentials(ufrag=None):
    return [f"a=ice-ufrag:{ufrag or secrets.token_hex(4)}", f"a=ice-pwd:{secrets.token_hex(12)}"]


def fragment(ice, candidates=()):
    return "".join(line + "\r\n" for line in [*ice, "m=video 9 UDP/TLS/RTP/SAVPF 0", "a=mid:0", *candidates])


def attribute(sdp, name):
    """The first value of an attribute."""
    return re.search(rf"^a={name}:(.*?)\r?$", sdp, re.MULTILINE)[1]


@dataclass
class Reply:
    status: int
    headers: object
    text: str


def ask(address, method="GET", body=None, **headers):
    """One request; keywords are header fields, with _ for -."""
    request = urllib.request.Request(address, method=method, data=body.encode() if isinstance(body, str) else body,
                                     headers={name.replace("_", "-"): value for name, value in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return Reply(response.status, response.headers, response.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return Reply(error.code, error.headers, error.read().decode())


def answered(server, camera, token):
    """Until the camera has told its tracks: offers are answered."""
    def made():
        reply = ask(f"{server.address}/whep/{camera}", "POST", offer(), Content_Type=SDP, Authorization=f"Bearer {token}")
        if reply.status == 503:
            return None
        assert reply.status == 201, reply
        ask(server.address + reply.headers["Location"], "DELETE", Authorization=f"Bearer {token}")
        return reply
    return wait_until(made, 20, f"{camera} is offered to viewers")


def udp_port(server):
    """Where live view listens."""
    token = server.token()
    answer = answered(server, server.api("/cameras")["cameras"][0]["name"], token).text
    return int(re.search(r"^a=candidate:\S+ 1 udp \d+ 127\.0\.0\.1 (\d+)", answer, re.MULTILINE)[1])


@functools.lru_cache(maxsize=None)
def go_client():
    """test/tools/whep_client, built."""
    go = subprocess.run([ROOT / "tools/dev/go.sh"], capture_output=True, text=True, check=True).stdout.strip()
    program = ROOT / "build/whep_client"
    subprocess.run([go, "build", "-o", program, "."], cwd=ROOT / "test/tools/whep_client", check=True, timeout=400)
    return program


class Player:
    """whep_client while it plays."""

    def __init__(self, server, camera, token, *arguments):
        self.server = server
        self.process = subprocess.Popen(
            [go_client(), "-url", f"{server.address}/whep/{camera}", "-bearer", token, *map(str, arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()

    def answered(self):
        line = self.process.stdout.readline()
        assert line == "answered\n", self.process.stderr.read()

    def playing(self):
        self.answered()
        line = self.process.stdout.readline()
        assert line.startswith("playing "), self.process.stderr.read()
        self.session = line.split()[1]
        return self

    def told(self):
        """What the server says of its session."""
        return next(each for each in self.server.api("/sessions") if each["id"] == self.session)

    def tell(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def finish(self):
        """Ends it, and gives what it saw."""
        self.process.stdin.close()
        return self.finish_by_itself()

    def finish_by_itself(self):
        """The same when its time is over."""
        out, err = self.process.stdout.read(), self.process.stderr.read()
        self.process.wait(60)
        assert self.process.returncode == 0, err
        return json.loads(out.splitlines()[-1])


def in_parallel(*calls):
    """What they give, in their order; an exception of any is raised."""
    results = [None] * len(calls)

    def run(index, call):
        try:
            results[index] = (call(), None)
        except BaseException as error:  # noqa: BLE001 - raised again below
            results[index] = (None, error)
    threads = [threading.Thread(target=run, args=each) for each in enumerate(calls)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    for _, error in results:
        if error is not None:
            raise error
    return [value for value, _ in results]
