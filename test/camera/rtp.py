"""RTP packets of H.264 (RFC 6184), AAC (RFC 3640) and G.711, and RTCP sender reports (RFC 3550)."""

import struct
from dataclasses import dataclass, field

NTP_EPOCH = 2208988800  # 1970 in seconds since 1900


@dataclass
class Packet:
    payload: bytes
    nals: list = field(default_factory=list)  # what is lost with it
    marker: bool = False
    payload_type: int = 96
    sequence: int = 0
    timestamp: int = 0
    ssrc: int = 0
    first_byte: int = 0x80  # version, padding, extension
    raw: bytes | None = None  # in place of all of it

    def encode(self):
        if self.raw is not None:
            return self.raw
        return struct.pack(">BBHII", self.first_byte, self.marker << 7 | self.payload_type, self.sequence & 0xFFFF,
                           self.timestamp & 0xFFFFFFFF, self.ssrc) + self.payload


def fragments(data, nal, limit):
    """FU-A (RFC 6184 5.8)."""
    indicator = data[0] & 0xE0 | 28
    kind = data[0] & 0x1F
    body = data[1:]
    pieces = [body[i:i + limit - 2] for i in range(0, len(body), limit - 2)] or [b""]
    return [
        Packet(bytes([indicator, kind | (i == 0) << 7 | (i == len(pieces) - 1) << 6]) + piece, [nal])
        for i, piece in enumerate(pieces)
    ]


def stap(nals):
    """STAP-A (RFC 6184 5.7.1)."""
    header = max(nal.data[0] & 0x60 for nal in nals) | 24
    return Packet(bytes([header]) + b"".join(struct.pack(">H", len(n.data)) + n.data for n in nals), list(nals))


def packetize_h264(unit, limit=1200, aggregate=False):
    nals = list(unit.nals)
    packets = []
    small = [nal for nal in nals if nal.type in (6, 7, 8, 9)] if aggregate else []
    if len(small) > 1 and sum(len(n.data) + 2 for n in small) < limit:
        packets.append(stap(small))
        nals = [nal for nal in nals if nal not in small]
    for nal in nals:
        packets += fragments(nal.data, nal, limit) if len(nal.data) > limit else [Packet(nal.data, [nal])]
    if packets:
        packets[-1].marker = True
    return packets


def packetize_aac(unit):
    data = unit.nals[0].data
    return [Packet(struct.pack(">HH", 16, len(data) << 3) + data, list(unit.nals), True)]


def packetize_g711(unit):
    return [Packet(unit.nals[0].data, list(unit.nals))]


def sender_report(ssrc, utc, timestamp, packets=0, octets=0):
    ntp = int(utc * 2**32) & (2**64 - 1)
    report = struct.pack(">BBHIQIII", 0x80, 200, 6, ssrc, ntp, timestamp & 0xFFFFFFFF, packets, octets)
    name = b"simulator"
    item = struct.pack(">IBB", ssrc, 1, len(name)) + name
    item += b"\0" * (4 - len(item) % 4)
    return report + struct.pack(">BBH", 0x81, 202, len(item) // 4) + item


def bye(ssrc):
    return struct.pack(">BBHI", 0x81, 203, 1, ssrc)
