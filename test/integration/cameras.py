"""Cameras that others wrote."""
import os
import pathlib
import socket
import subprocess

from harness import wait_until

HERE = pathlib.Path(__file__).resolve().parent
NOBODY = 65534


def as_nobody(command, folder):
    """VLC refuses to run as root."""
    if os.geteuid() != 0:
        return command
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "env", f"HOME={folder}", *command]


class Camera:
    process = None

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            if self.process.stdout:
                self.process.stdout.close()
            self.process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()


class GStreamerCamera(Camera):
    """gst-rtsp-server; with `digest` ("user:password") every mount point asks for it."""

    def __init__(self, digest=None):
        self.digest = digest
        self.port = 0

    def start(self):
        """Again on the same port when it ran before."""
        command = ["/usr/bin/python3", HERE / "gst_camera.py", "--port", str(self.port)]
        if self.digest:
            command += ["--digest", self.digest]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        line = self.process.stdout.readline()
        assert line, "GStreamer's RTSP server did not start"
        self.port = int(line)

    def url(self, path, credentials=""):
        at = credentials + "@" if credentials else ""
        return f"rtsp://{at}127.0.0.1:{self.port}{path}"


class VlcCamera(Camera):
    """VLC streams a TS file over and over: UDP alone, and oddities of its own (docs/quirks.md R14)."""

    def __init__(self, file, folder):
        self.file = file
        self.folder = folder

    def start(self):
        # VLC does not tell the port that it got: one that the kernel just gave is free.
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process = subprocess.Popen(
            as_nobody(["cvlc", "-q", "--repeat", str(self.file), "--sout",
                       f"#rtp{{sdp=rtsp://127.0.0.1:{self.port}/cam}}", "--sout-keep"], self.folder),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self.listens, 15, "VLC listens")

    def listens(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def url(self):
        return f"rtsp://127.0.0.1:{self.port}/cam"
