"""Players and parsers that others wrote. Each counts the pictures that it found."""
import json
import pathlib
import subprocess
import sys
import tempfile

from cameras import as_nobody
from harness import checked

HERE = pathlib.Path(__file__).resolve().parent


def ffprobe(url):
    """{"h264": pictures, "aac": frames of sound}"""
    text = checked(["ffprobe", "-v", "error", "-count_packets", "-show_entries", "stream=codec_name,nb_read_packets",
                    "-of", "json", url])
    # Programs of an MPEG-TS list the same streams once more.
    return {each["codec_name"]: int(each["nb_read_packets"]) for each in json.loads(text)["streams"]}


def playbin3(url):
    """{"video": pictures decoded, "audio": buffers decoded} by GStreamer's player."""
    script = pathlib.Path(__file__).with_name("gst_player.py")
    return json.loads(checked(["/usr/bin/python3", script, url], quiet=False))


def streamlink(url, folder):
    """Counts of what streamlink's own downloader put together."""
    file = pathlib.Path(folder) / "streamlink.out"
    checked([sys.executable, "-m", "streamlink", "-l", "error", "-o", file, "-f", f"hls://{url}", "best"], quiet=False)
    return ffprobe(file)


def vlc(url, sound=True):
    """Counts of what VLC made of the stream, re-muxed by it. It does so in the stream's own pace."""
    with tempfile.TemporaryDirectory() as folder:
        home = pathlib.Path(folder)
        home.chmod(0o777)
        file = home / "vlc.ts"
        subprocess.run(
            as_nobody(["cvlc", "-q", "-I", "dummy", "--play-and-exit", url, "--sout",
                       f"#std{{access=file,mux=ts,dst={file}}}", *([] if sound else ["--no-sout-audio"])], folder),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=90, check=False)
        assert file.exists(), "VLC played nothing"
        return ffprobe(file)


def mp4box(files):
    """What the JavaScript port of GPAC's parser says of MP4 files: a list of {codec: samples}."""
    text = checked(["node", HERE / "mp4box.mjs", *map(str, files)])
    return [{track["codec"]: track["samples"] for track in tracks} for tracks in json.loads(text)]
