"""A second real S3 server (MinIO), for `./dev test --interop`. Bucket, versions and expiry are made by `miharu cloud init`, users by
MinIO's own administration with the policies that it wrote: this store names no users in a bucket's policy."""
import functools
import json
import os
import subprocess

import botocore.exceptions
from minio import MinioAdmin
from minio.credentials import StaticProvider

from bucket import READER_KEYS, RELAY_KEYS, ROOT_KEYS, Store, listening_port
from harness import DONE, ROOT, miharu, wait_until

ADMIN_KEYS = ("keeper", "keeper-secret")
USERS = {"relay": RELAY_KEYS, "reader": READER_KEYS, "admin": ADMIN_KEYS}


@functools.lru_cache(maxsize=None)
def program():
    done = subprocess.run([ROOT / "tools/dev/minio.sh"], capture_output=True, text=True, check=False, timeout=3000)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class MinioStore(Store):
    """As bucket.Store; a third user administers the bucket alone."""

    def start(self):
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [program(), "server", "--quiet", "--address", f"127.0.0.1:{self.port}", self.folder / "data"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, "HOME": str(self.folder), "MINIO_ROOT_USER": ROOT_KEYS[0], "MINIO_ROOT_PASSWORD": ROOT_KEYS[1],
                     "MINIO_BROWSER": "off", "MINIO_UPDATE": "off"})

        def listens():
            assert self.process.poll() is None, self.log()
            return listening_port(self.process.pid)

        def answers():
            try:
                return self.client().list_buckets()
            except botocore.exceptions.ClientError:
                return None
        self.port = wait_until(listens, 30, "MinIO listens")
        wait_until(answers, 30, "MinIO knows its users")
        return self

    def init(self, *arguments):
        """`miharu cloud init`: {step: (result, text)}"""
        done = miharu("cloud", "init", "--json", "--yes", "--url", self.url, "--endpoint", self.endpoint, "--region", "us-east-1",
                      "--relay", self.relay, "--out", self.folder / "keys", "--config", self.folder / "init.toml", *arguments,
                      data=self.folder / "init", env={"HOME": str(self.folder), **self.environment(ROOT_KEYS)})
        assert done.returncode == DONE, (done.stdout, done.stderr)
        return {each["step"]: (each["result"], each["text"]) for each in map(json.loads, done.stdout.splitlines())}

    def make(self):
        self.steps = self.init()
        admin = MinioAdmin(endpoint=f"127.0.0.1:{self.port}", credentials=StaticProvider(*ROOT_KEYS), secure=False)
        for role, (access, secret) in USERS.items():
            admin.user_add(access, secret)
            admin.policy_add(role, self.folder / f"keys/policy-{role}.json")
            admin.policy_set(role, user=access)
        return self
