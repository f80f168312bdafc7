"""A viewer of aiortc's stack: independent ICE, DTLS, SRTP, depacketizer and decoder."""
import asyncio
import time

from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

from frame_number import read_frame_number
from whep import SDP, ask


class Viewer:
    """One session while it plays; to be used in one event loop."""

    def __init__(self, server, camera, token):
        self.server = server
        self.authorization = f"Bearer {token}"
        self.camera = camera
        self.pictures = []  # (frame number, when it was decoded: monotonic seconds)
        self.sounds = 0
        self.tasks = []

    async def ask(self, *arguments, **headers):
        return await asyncio.to_thread(ask, *arguments, Authorization=self.authorization, **headers)

    async def __aenter__(self):
        self.connection = RTCPeerConnection()
        self.connection.addTransceiver("video", direction="recvonly")
        self.connection.addTransceiver("audio", direction="recvonly")
        self.connection.on("track", lambda track: self.tasks.append(asyncio.ensure_future(self.read(track))))
        await self.connection.setLocalDescription(await self.connection.createOffer())
        reply = await self.ask(f"{self.server.address}/whep/{self.camera}", "POST", self.connection.localDescription.sdp,
                               Content_Type=SDP)
        assert reply.status == 201, reply.text
        self.resource = self.server.address + reply.headers["Location"]
        await self.connection.setRemoteDescription(RTCSessionDescription(reply.text, "answer"))
        return self

    async def __aexit__(self, *_):
        await self.ask(self.resource, "DELETE")
        await self.connection.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def read(self, track):
        try:
            while True:
                frame = await track.recv()
                if track.kind == "audio":
                    self.sounds += 1
                    continue
                plane = frame.planes[0]
                rows = bytes(plane)
                gray = b"".join(rows[y * plane.line_size:y * plane.line_size + frame.width] for y in range(frame.height))
                self.pictures.append((read_frame_number(gray, frame.width, frame.height), time.monotonic()))
        except MediaStreamError:
            pass

    async def sees(self, pictures, sounds=0, seconds=20):
        """Until so many more have come."""
        pictures += len(self.pictures)
        sounds += self.sounds
        deadline = time.monotonic() + seconds
        while len(self.pictures) < pictures or self.sounds < sounds:
            assert time.monotonic() < deadline, (f"{self.camera}: {len(self.pictures)} of {pictures} pictures, {self.sounds} of "
                                                 f"{sounds} pieces of sound after {seconds} s")
            await asyncio.sleep(0.05)

    @property
    def srtp_profile(self):
        """What DTLS agreed on, as OpenSSL calls it; aiortc itself does not tell."""
        transport = self.connection.getTransceivers()[0].receiver.transport
        return transport._ssl.get_selected_srtp_profile().decode()
