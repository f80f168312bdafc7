"""Datagrams of somebody who has no business here."""
import hashlib
import hmac
import secrets
import socket
import struct
import zlib

from OpenSSL import SSL

USERNAME, INTEGRITY, PRIORITY, CONTROLLING, FINGERPRINT = 0x0006, 0x0008, 0x0024, 0x802A, 0x8028
COOKIE = 0x2112A442


def binding_request(username, password=None):
    """An ICE check (RFC 8445 section 7.1); without a password it is not signed."""
    body = attribute(USERNAME, username.encode()) + attribute(PRIORITY, struct.pack(">I", 1853817087))
    body += attribute(CONTROLLING, secrets.token_bytes(8))
    head = secrets.token_bytes(12)

    def message(extra):
        return struct.pack(">HHI", 1, len(body) + extra, COOKIE) + head + body
    if password is not None:
        body += attribute(INTEGRITY, hmac.new(password.encode(), message(24), hashlib.sha1).digest())
    crc = zlib.crc32(message(8)) ^ 0x5354554E
    body += attribute(FINGERPRINT, struct.pack(">I", crc))
    return message(0)


def attribute(kind, value):
    return struct.pack(">HH", kind, len(value)) + value + bytes(-len(value) % 4)


def client_hello():
    """How a DTLS client begins, with use_srtp as a browser has it."""
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_tlsext_use_srtp(b"SRTP_AEAD_AES_128_GCM")
    connection = SSL.Connection(context)
    connection.set_connect_state()
    try:
        connection.do_handshake()
    except SSL.WantReadError:
        pass
    return connection.bio_read(4096)


class Strangers:
    """Sockets that the server has never heard of."""

    def __init__(self, port, count):
        self.sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
        for each in self.sockets:
            each.connect(("127.0.0.1", port))
            each.setblocking(False)
        self.sent = 0
        self.received = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for each in self.sockets:
            each.close()

    def send(self, datagram, number):
        each = self.sockets[number % len(self.sockets)]
        try:
            self.sent += each.send(datagram)
        except BlockingIOError:
            pass
        self.read(each)

    def read(self, each):
        try:
            while True:
                self.received += len(each.recv(4096))
        except BlockingIOError:
            pass

    def read_all(self):
        for each in self.sockets:
            self.read(each)
