"""One miharu and one simulator with its cameras; what came of it is kept for the tests."""

import json
import re
import time

from camera.checker import check
from camera.simulator import Simulator
from harness import Miharu

SETTLE = 1.0  # seconds that miharu has to read and write what was sent last


class Run:
    def __init__(self, folder, scenarios, deadline=60, before_end=None):
        """`before_end`: called with the run once all is sent."""
        self.scenarios, self.deadline = scenarios, deadline
        self.statuses, self.errors = {}, {}
        self.highest = 0
        self.simulator = Simulator(scenarios, folder).start()
        env, blocks = {}, {}
        for number, each in enumerate(scenarios):
            lines = [f"url = {json.dumps(self.simulator.url(each.name))}", f"transport = {json.dumps(each.camera.transport)}"]
            if each.camera.user:
                env[f"CAMERA_{number}"] = each.camera.password
                lines += [f"user = {json.dumps(each.camera.user)}", f'password = "${{CAMERA_{number}}}"']
            if each.camera.tls in ("pinned", "other"):
                pin = self.simulator.fingerprint if each.camera.tls == "pinned" else "0" * 64
                lines.append(f'certificate_sha256 = "{pin}"')
            blocks[each.name] = "\n".join(lines)
        self.miharu = Miharu(folder, blocks, env=env).start()
        self.sanitized = is_sanitized(self.miharu.process.pid)
        self.base = self.highest = memory_of(self.miharu.process.pid)
        try:
            self.wait()
            if before_end:
                before_end(self)
            self.simulator.freeze()
            time.sleep(SETTLE)
            self.look()
            self.exit_status = self.miharu.stop()
        finally:
            self.simulator.stop()
            if self.miharu.process:
                self.miharu.kill()
        self.store = self.miharu.store

    def look(self):
        for about in self.miharu.api("/cameras")["cameras"]:
            if about["last_error"]:
                self.errors.setdefault(about["name"], set()).add(about["last_error"])
            self.statuses[about["name"]] = about
        self.highest = max(self.highest, memory_of(self.miharu.process.pid))

    def done(self, scenario):
        pattern = scenario.expect.error
        if pattern and not any(re.search(pattern, each) for each in self.errors.get(scenario.name, ())):
            return False
        return scenario.expect.recording == "none" or self.simulator.cameras[scenario.name].pictures >= scenario.expect.units

    def wait(self):
        begin = time.monotonic()
        self.unfinished = self.scenarios
        while self.unfinished and time.monotonic() - begin < self.deadline:
            self.last = self.unfinished[-1].name
            time.sleep(0.25)
            self.look()
            self.unfinished = [each for each in self.unfinished if not self.done(each)]
        self.seconds = time.monotonic() - begin

    def problems(self, scenario):
        camera = self.simulator.cameras[scenario.name]
        problems = check(scenario, camera, self.statuses[scenario.name], self.store)
        if scenario.name in {each.name for each in self.unfinished}:
            problems.insert(0, f"not done within {self.deadline} s: {camera.pictures} pictures sent; {self.errors.get(scenario.name)}")
        return problems


def memory_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1]) * 1024


def is_sanitized(pid):
    """A sanitizer's own memory says nothing about the program's."""
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
        return "libasan" in maps.read()
