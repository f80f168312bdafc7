"""Plays a URL with GStreamer's playbin3 and prints how many pictures and buffers of sound reached the sinks, as JSON. Run by
the system's Python, which has gi: gst_player.py URL"""
import json
import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402


def prepare(_player, _parent, element):
    # GStreamer 1.22 fails on a busy machine ("EOS on non-exposed pad") when a short list is fetched to its end before its
    # decoders stand.
    if element.get_factory() and element.get_factory().get_name() == "hlsdemux2":
        element.set_property("max-buffering-time", 2 * Gst.SECOND)


def main(url):
    Gst.init(None)
    player = Gst.ElementFactory.make("playbin3")
    player.set_property("uri", url)
    player.connect("deep-element-added", prepare)
    counts = {}
    for kind in ("video", "audio"):
        sink = Gst.ElementFactory.make("fakesink", kind)
        sink.set_property("signal-handoffs", True)
        sink.set_property("sync", True)
        counts[kind] = 0

        def count(_sink, _buffer, _pad, kind=kind):
            counts[kind] += 1

        # Not preroll-handoff: the same buffer is handed on when playing begins.
        sink.connect("handoff", count)
        player.set_property(f"{kind}-sink", sink)
    player.set_state(Gst.State.PLAYING)
    message = player.get_bus().timed_pop_filtered(60 * Gst.SECOND, Gst.MessageType.EOS | Gst.MessageType.ERROR)
    player.set_state(Gst.State.NULL)
    if message is None or message.type != Gst.MessageType.EOS:
        print(message.parse_error() if message else "no end in 60 s", file=sys.stderr)
        return 1
    print(json.dumps(counts))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
