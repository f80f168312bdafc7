"""Players and parsers that others wrote. Each counts the pictures that it found."""
import array
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

from cameras import as_nobody
from harness import checked

HERE = pathlib.Path(__file__).resolve().parent

# VLC's file of sound: 16 bits, stereo.
WAV_HEADER, WAV_RATE, WAV_CHANNELS = 44, 48000, 2


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


def run_vlc(source, folder, *arguments):
    folder.chmod(0o777)
    subprocess.run(as_nobody(["cvlc", "-q", "-I", "dummy", "--play-and-exit", source, *arguments], folder),
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=90, check=False)


def vlc(url):
    """Counts of what VLC made of the stream, re-muxed by it."""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "vlc.ts"
        run_vlc(url, file.parent, "--sout", f"#std{{access=file,mux=ts,dst={file}}}")
        assert file.exists(), "VLC played nothing"
        return ffprobe(file)


def vlc_sound(source):
    """What a listener hears when VLC plays the URL or file, in its own pace: (seconds in all, when the demo camera's beeps
    began)."""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "sound.wav"
        if "://" not in str(source):
            source = pathlib.Path(shutil.copyfile(source, pathlib.Path(folder) / f"in{pathlib.Path(source).suffix}"))
        # VLC leaves out sound that it decoded too late. Three seconds in hand are for a busy machine.
        run_vlc(source, file.parent, "--vout", "dummy", "--aout", "afile", "--audiofile-file", file, "--file-caching=3000",
                "--network-caching=3000")
        # VLC leaves the lengths in the header open.
        samples = array.array("h", file.read_bytes()[WAV_HEADER:])
    rate = WAV_RATE * WAV_CHANNELS
    part = rate // 100
    loud = [max(map(abs, samples[at:at + part])) > 3000 for at in range(0, len(samples), part)]
    beeps = [i / 100 for i in range(1, len(loud)) if loud[i] and not loud[i - 1]]
    return len(samples) / rate, beeps


def mp4box(files):
    """What the JavaScript port of GPAC's parser says of MP4 files: a list of {codec: samples}."""
    text = checked(["node", HERE / "mp4box.mjs", *map(str, files)])
    return [{track["codec"]: track["samples"] for track in tracks} for tracks in json.loads(text)]
