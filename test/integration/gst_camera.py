"""An RTSP camera made of GStreamer's server; runs under the system's Python, which has its bindings.

Prints its port. Mount points: /pcma, /pcmu, /opus and /aac (H.264 with sound), /silent, /small (160x120, with sound), /busy (4 Mbit/s of noise). At each SIGUSR1 the pictures of those that are
watched change their size, without an end of the session.
"""
import argparse
import signal

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
gi.require_version("GstRtsp", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

SIZES = [f"video/x-raw,framerate=25/1,width={width},height={height}" for width, height in [(384, 240), (320, 180)]]
VIDEO = (
    f"videotestsrc is-live=true pattern=ball ! capsfilter name=size caps={SIZES[0]} "
    "! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 bitrate=500 "
    "! rtph264pay name=pay0 pt=96 config-interval=-1"
)
BUSY = (
    f"videotestsrc is-live=true pattern=snow ! capsfilter name=size caps={SIZES[0]} "
    "! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 bitrate=4000 "
    "! rtph264pay name=pay0 pt=96 config-interval=-1"
)
SOUND = {
    "/pcma": "audiotestsrc is-live=true ! audio/x-raw,rate=8000,channels=1 ! alawenc ! rtppcmapay name=pay1 pt=8",
    "/pcmu": "audiotestsrc is-live=true ! audio/x-raw,rate=8000,channels=1 ! mulawenc ! rtppcmupay name=pay1 pt=0",
    "/opus": "audiotestsrc is-live=true ! audio/x-raw,rate=48000,channels=2 ! opusenc ! rtpopuspay name=pay1 pt=97",
    "/aac": "audiotestsrc is-live=true ! audio/x-raw,rate=48000,channels=1 ! avenc_aac "
            "! rtpmp4gpay name=pay1 pt=97",
    "/silent": "",
}
SMALL = VIDEO.replace(SIZES[0], "video/x-raw,framerate=25/1,width=160,height=120") + " " + SOUND["/aac"]
MOUNTS = {path: f"{VIDEO} {sound}" for path, sound in SOUND.items()} | {"/busy": BUSY, "/small": SMALL}


class Sizes:
    """The size of the pictures of every pipeline that was made."""

    def __init__(self):
        self.filters = []
        self.current = 0

    def add(self, _factory, media):
        self.filters.append(media.get_element().get_by_name("size"))

    def change(self):
        self.current = 1 - self.current
        for each in self.filters:
            each.set_property("caps", Gst.Caps.from_string(SIZES[self.current]))
        return True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", default="0")
    parser.add_argument("--digest", help="USER:PASSWORD")
    arguments = parser.parse_args()
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(arguments.port)
    sizes = Sizes()
    GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, signal.SIGUSR1, sizes.change)
    kept = []  # the bindings hold no references
    for path, pipeline in MOUNTS.items():
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(f"( {pipeline} )")
        factory.set_shared(True)
        factory.connect("media-configure", sizes.add)
        if arguments.digest:
            permissions = GstRtspServer.RTSPPermissions()
            permissions.add_permission_for_role("user", "media.factory.access", True)
            permissions.add_permission_for_role("user", "media.factory.construct", True)
            factory.set_permissions(permissions)
        server.get_mount_points().add_factory(path, factory)
        kept.append(factory)
    if arguments.digest:
        auth = GstRtspServer.RTSPAuth()
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "user")
        auth.add_digest(*arguments.digest.split(":", 1), token)
        server.set_auth(auth)
        kept += [auth, token]
    if server.attach(None) == 0:
        raise SystemExit(f"cannot listen on port {arguments.port}")
    print(server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


main()
