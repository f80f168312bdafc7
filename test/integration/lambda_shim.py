"""What AWS puts around a function, for tests: AWS's own emulator of the runtime API runs the program, and a shim turns HTTP
into events of a function URL (payload format 2.0) and their answers into HTTP. It also plays the CDN: page and media come
from the bucket, media only with cookies or addresses that the function signed."""
import base64
import contextlib
import functools
import hashlib
import http.client
import http.server
import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time
import urllib.parse

import botocore.exceptions
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from harness import ROOT, wait_until

KEY_ID = "K2JCJMDEHXQW5F"
BOOTSTRAP = pathlib.Path(os.environ.get("MIHARU_BOOTSTRAP", ROOT / "build/lambda/bootstrap"))
INVOKE = "/2015-03-31/functions/function/invocations"


@functools.lru_cache(maxsize=None)
def emulator():
    done = subprocess.run([ROOT / "tools/dev/lambda_emulator.sh"], capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Function:
    """The program in the emulator, which runs one event at a time."""

    def __init__(self, folder, env):
        self.folder = pathlib.Path(folder)
        self.env = env
        self.port = free_port()
        self.lock = threading.Lock()
        self.process = None
        self.init_errors = []

    def __enter__(self):
        with open(self.folder / "emulator.log", "ab") as log:
            self.process = subprocess.Popen(
                [emulator(), "--runtime-interface-emulator-address", f"127.0.0.1:{self.port}",
                 "--runtime-api-address", f"127.0.0.1:{free_port()}", BOOTSTRAP],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={"PATH": os.environ["PATH"], "AWS_LAMBDA_FUNCTION_TIMEOUT": "30", **self.env})

        def listens():
            assert self.process.poll() is None, self.log()
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", self.port), 5):
                return True
        wait_until(listens, 20, "the emulator listens")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)

    def log(self):
        return (self.folder / "emulator.log").read_text(encoding="utf-8", errors="replace")[-6000:]

    def invoke(self, event, status=200):
        """What the function answers: its JSON. 502: it did not start."""
        with self.lock:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            try:
                connection.request("POST", INVOKE, json.dumps(event) if isinstance(event, dict) else event)
                response = connection.getresponse()
                text = response.read()
            finally:
                connection.close()
        assert response.status == status, (response.status, text, self.log())
        return json.loads(text)


def event_of(method, target, headers, body, remote):
    """As a function URL tells a request."""
    path, _, query = target.partition("?")
    lower = {}
    cookies = []
    for name, value in headers:
        if name.lower() == "cookie":
            cookies += [each.strip() for each in value.split(";")]
        else:
            lower[name.lower()] = f"{lower[name.lower()]},{value}" if name.lower() in lower else value
    event = {"version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": query,
             "headers": {**lower, "x-forwarded-proto": "https", "x-forwarded-for": remote},
             "requestContext": {"http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": remote,
                                         "userAgent": lower.get("user-agent", "")}, "requestId": "1", "stage": "$default"},
             "isBase64Encoded": bool(body)}
    if cookies:
        event["cookies"] = cookies
    if body:
        event["body"] = base64.b64encode(body).decode()
    return event


class SigningKey:
    """Of the CDN: the function signs with one half, the shim checks with the other."""

    def __init__(self):
        self.private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.pem = self.private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                              serialization.NoEncryption()).decode()

    def opens(self, url, policy, signature, key_id):
        """Whether CloudFront would: RSA and SHA-1 over the policy, whose one statement has the address and is in time."""
        def plain(text):
            return base64.b64decode(text.replace("-", "+").replace("_", "=").replace("~", "/"))
        if key_id != KEY_ID:
            return False
        try:
            text = plain(policy)
            self.private.public_key().verify(plain(signature), text, padding.PKCS1v15(), hashes.SHA1())
        except (InvalidSignature, ValueError):
            return False
        (statement,) = json.loads(text)["Statement"]
        in_time = time.time() < statement["Condition"]["DateLessThan"]["AWS:EpochTime"]
        return in_time and matches(statement["Resource"], url)


def matches(pattern, text):
    """* and ? stand for anything, nothing else is special."""
    parts = pattern.split("*")
    if not text.startswith(parts[0]):
        return False
    at = len(parts[0])
    for part in parts[1:-1]:
        found = text.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return len(parts) == 1 and at == len(text) or len(parts) > 1 and text[at:].endswith(parts[-1])


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        # Browsers end connections that they need no more.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Shim:
    """The address that browsers get. With `key` it is a CDN in front of function and bucket, else the function URL itself."""

    def __init__(self, function, store=None, keys=None, key=None):
        self.function, self.store, self.key = function, store, key
        self.bucket = store.client(keys) if store else None
        self.requests = []
        shim = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                try:
                    status, headers, out = shim.answer(self.command, self.path, list(self.headers.items()), body)
                except AssertionError as error:
                    status, headers, out = 502, [], str(error).encode()
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                if status not in (204, 304):
                    self.send_header("Content-Length", str(len(out)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(out)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer

            def log_message(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def answer(self, method, target, headers, body):
        path = urllib.parse.urlsplit(target).path
        if self.key and path.startswith("/media/"):
            return self.media(method, target, dict(headers))
        # The CDN's other behaviours, by path; what is left is the page in the bucket.
        behind = ("/api/", "/hls/", "/t/", "/whep", "/offer", "/healthz", "/readyz", "/metrics")
        if self.key and not path.startswith(behind):
            return self.object("app/" + (path.removeprefix("/") or "index.html"), method, dict(headers))
        self.requests.append((method, target))
        told = {name.lower(): value for name, value in headers}.get("x-amz-content-sha256")
        if self.key and method in ("POST", "PUT") and told != hashlib.sha256(body).hexdigest():
            # CloudFront's signature for the function covers the hash that the caller tells: without, Lambda refuses it.
            return 403, [("Content-Type", "application/json")], b'{"message":"The request signature we calculated does not match"}'
        answer = self.function.invoke(event_of(method, target, headers, body, "127.0.0.1"))
        assert "statusCode" in answer, answer
        out = answer.get("body", "")
        out = base64.b64decode(out, validate=True) if answer.get("isBase64Encoded") else out.encode()
        fields = [*answer.get("headers", {}).items(), *(("Set-Cookie", each) for each in answer.get("cookies", []))]
        return answer["statusCode"], fields, out

    def media(self, method, target, headers):
        split = urllib.parse.urlsplit(target)
        given = {name: values[0] for name, values in urllib.parse.parse_qs(split.query).items()}
        if "Signature" not in given:
            pairs = (each.strip().split("=", 1) for each in headers.get("Cookie", "").split(";") if "=" in each)
            given = {name.removeprefix("CloudFront-"): value for name, value in pairs}
        wanted = [given.get(name, "") for name in ("Policy", "Signature", "Key-Pair-Id")]
        if not self.key.opens(f"https://cameras.example{split.path}", *wanted):
            return 403, [("Content-Type", "application/xml")], b"<Error><Code>AccessDenied</Code></Error>"
        return self.object(split.path.removeprefix("/media/"), method, headers)

    def object(self, key, method, headers):
        """As the CDN has it from the bucket."""
        asked = {"Range": headers["Range"]} if "Range" in headers else {}
        try:
            got = self.bucket.get_object(Bucket=self.store.bucket, Key=self.store.prefix + key, **asked)
        except botocore.exceptions.ClientError as error:
            return error.response["ResponseMetadata"]["HTTPStatusCode"], [], b""
        fields = [(name, got[at]) for name, at in (("Content-Type", "ContentType"), ("Content-Range", "ContentRange"),
                                                   ("Cache-Control", "CacheControl"), ("ETag", "ETag")) if got.get(at)]
        out = got["Body"].read() if method != "HEAD" else b""
        return got["ResponseMetadata"]["HTTPStatusCode"], fields, out
