"""The faulty line itself: what it does to a request must not become another one's fault."""
import http.client
import http.server
import socket
import threading

import pytest

from faulty_proxy import FaultyProxy

BODY = b"not a request\r\nbut a body\r\n\r\n"


class Store(http.server.BaseHTTPRequestHandler):
    """Refuses /there before its body, as stores do with If-None-Match, and takes everything else."""

    protocol_version = "HTTP/1.1"
    seen = []

    def handle_expect_100(self):
        return self.path == "/there" or super().handle_expect_100()

    def do_PUT(self):
        self.seen.append(self.requestline)
        if self.path == "/there":
            # Not read: the connection cannot be used any more.
            self.close_connection = True
        else:
            self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(412 if self.path == "/there" else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture(name="store")
def small_store():
    Store.seen = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Store)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("path, chances, status", [("/busy", {"busy": 1.0}, 503), ("/there", {}, 412)])
def test_a_body_that_nobody_wanted_is_no_request(store, path, chances, status):
    """Who asked for consent and waited for long enough sends the body all the same."""
    with FaultyProxy(store) as proxy:
        proxy.set(chances=chances)
        with socket.create_connection(("127.0.0.1", proxy.port)) as client:
            head = f"PUT {path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {len(BODY)}\r\n\r\n"
            client.sendall(head.encode())
            reply = http.client.HTTPResponse(client)
            reply.begin()
            assert reply.status == status
            reply.read()
            client.sendall(BODY)
            proxy.set(chances={})
            with_reuse = b"PUT /next HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
            try:
                client.sendall(with_reuse)
                rest = client.recv(4096)
            except ConnectionError:
                rest = b""
        assert rest == b"", "told before that the connection is over"
        assert reply.getheader("Connection") == "close"
    assert Store.seen == ([f"PUT {path} HTTP/1.1"] if path == "/there" else [])
