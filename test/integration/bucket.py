"""A real S3 server on this machine (versitygw), and boto3 to look into it: neither shares code with miharu."""
import functools
import json
import pathlib
import signal
import subprocess

import boto3
import botocore.config
import botocore.exceptions

from harness import ROOT, wait_until

ROOT_KEYS = ("root", "root-secret")
RELAY_KEYS = ("relay", "relay-secret")
READER_KEYS = ("reader", "reader-secret")


@functools.lru_cache(maxsize=None)
def versitygw():
    done = subprocess.run([ROOT / "tools/dev/versitygw.sh"], capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr
    return pathlib.Path(done.stdout.strip())


def listening_port(pid):
    """The port that a process listens on."""
    inodes = set()
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(fd.readlink())
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    for line in pathlib.Path(f"/proc/{pid}/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and fields[9] in inodes:
            return int(fields[1].split(":")[1], 16)
    return None


def policy(bucket, prefix, relay):
    """What cloud.md gives the relay and the reader; who serves may also write wishes."""
    folder = f"arn:aws:s3:::{bucket}/{prefix}"
    return json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": [RELAY_KEYS[0]]}, "Action": ["s3:PutObject"],
         "Resource": [f"{folder}{relay}/*"]},
        {"Effect": "Allow", "Principal": {"AWS": [RELAY_KEYS[0]]}, "Action": ["s3:GetObject"],
         "Resource": [f"{folder}control/{relay}/wanted.json"]},
        {"Effect": "Allow", "Principal": {"AWS": [READER_KEYS[0]]}, "Action": ["s3:GetObject"],
         "Resource": [f"{folder}*"]},
        {"Effect": "Allow", "Principal": {"AWS": [READER_KEYS[0]]}, "Action": ["s3:PutObject"],
         "Resource": [f"{folder}control/*/wanted.json"]},
        {"Effect": "Allow", "Principal": {"AWS": [READER_KEYS[0]]}, "Action": ["s3:ListBucket"],
         "Resource": [f"arn:aws:s3:::{bucket}"]}]})


class Store:
    """The server, and a bucket in it with a user for the relay, who may create below its folder alone, and a reader."""

    def __init__(self, folder, bucket="footage", prefix="home/", relay="r1", arguments=("--keep-alive",)):
        self.folder = pathlib.Path(folder)
        self.bucket, self.prefix, self.relay = bucket, prefix, relay
        self.arguments = list(arguments)
        self.port = 0
        self.process = None
        for name in ("data", "iam", "versions"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    def start(self):
        """On the same port as before."""
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [versitygw(), "-a", ROOT_KEYS[0], "-s", ROOT_KEYS[1], "--port", f"127.0.0.1:{self.port}",
                 "--iam-dir", self.folder / "iam", "--iam-cache-disable", *self.arguments,
                 "posix", "--versioning-dir", self.folder / "versions", self.folder / "data"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def listens():
            assert self.process.poll() is None, self.log()
            return listening_port(self.process.pid)
        self.port = wait_until(listens, 20, "versitygw listens")
        return self

    def make(self):
        """Users, bucket and policy."""
        for access, secret in (RELAY_KEYS, READER_KEYS):
            subprocess.run([versitygw(), "admin", "-a", ROOT_KEYS[0], "-s", ROOT_KEYS[1], "--endpoint-url", self.endpoint,
                            "create-user", "--access", access, "--secret", secret, "--role", "user"],
                           check=True, capture_output=True, timeout=60)
        self.client().create_bucket(Bucket=self.bucket)
        self.client().put_bucket_policy(Bucket=self.bucket, Policy=policy(self.bucket, self.prefix, self.relay))
        return self

    def __enter__(self):
        return self.start().make()

    def __exit__(self, *_):
        self.stop()

    def stop(self, how=signal.SIGTERM):
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(20)
            self.process = None

    def log(self):
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")[-6000:]

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self):
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def client(self, keys=ROOT_KEYS):
        return boto3.client("s3", endpoint_url=self.endpoint, region_name="us-east-1", aws_access_key_id=keys[0],
                            aws_secret_access_key=keys[1],
                            config=botocore.config.Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}))

    def environment(self, keys=RELAY_KEYS):
        """For miharu."""
        return {"AWS_ACCESS_KEY_ID": keys[0], "AWS_SECRET_ACCESS_KEY": keys[1]}

    def config(self, **more):
        """The [cloud] section of miharu.toml."""
        lines = {"url": self.url, "endpoint": self.endpoint, "relay": self.relay, **more}
        return "[cloud]\n" + "".join(f'{name} = "{value}"\n' for name, value in lines.items())

    def keys(self, below=""):
        """{key: size} of all objects below the prefix."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix + below)
        return {each["Key"][len(self.prefix):]: each["Size"] for page in pages for each in page.get("Contents", [])}

    def get(self, key):
        return self.client().get_object(Bucket=self.bucket, Key=self.prefix + key)["Body"].read()


def refused(call):
    """The code with which boto3's call was refused."""
    try:
        call()
    except botocore.exceptions.ClientError as error:
        return error.response["Error"]["Code"]
    raise AssertionError("it was allowed")
