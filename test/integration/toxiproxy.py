"""toxiproxy between a recorder and its store: what becomes of bytes on their way is decided by a program of others."""
import functools
import json
import subprocess
import urllib.request

from bucket import listening_port
from harness import ROOT, wait_until


@functools.lru_cache(maxsize=None)
def program():
    done = subprocess.run([ROOT / "tools/dev/toxiproxy.sh"], capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class Toxiproxy:
    """One way to `port` of 127.0.0.1: connect to `self.port`. `seed` decides which connections a toxic strikes that strikes some."""

    def __init__(self, port, folder, seed):
        with open(folder / "toxiproxy.log", "wb") as log:
            self.process = subprocess.Popen([program(), "-host", "127.0.0.1", "-port", "0", "-seed", str(seed)],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.control = wait_until(lambda: listening_port(self.process.pid), 10, "toxiproxy listens")
        made = self.ask("/proxies", name="store", listen="127.0.0.1:0", upstream=f"127.0.0.1:{port}", enabled=True)
        self.port = int(made["listen"].rpartition(":")[2])

    def ask(self, path, method="POST", **body):
        request = urllib.request.Request(f"http://127.0.0.1:{self.control}{path}", method=method, headers={"User-Agent": "miharu-test"},
                                         data=json.dumps(body).encode() if method == "POST" else None)
        with urllib.request.urlopen(request, timeout=20) as response:
            return json.loads(response.read() or b"{}")

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def set_open(self, is_open):
        """False: connections end, and new ones are refused."""
        self.ask("/proxies/store", enabled=is_open)

    def add(self, name, kind, stream, share=1.0, **attributes):
        """To `share` of the connections; streams are "upstream", to the store, and "downstream"."""
        self.ask("/proxies/store/toxics", name=name, type=kind, stream=stream, toxicity=share, attributes=attributes)

    def remove(self, name):
        self.ask(f"/proxies/store/toxics/{name}", method="DELETE")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)
