#!/usr/bin/env python3
"""./dev cloudtest --profile NAME [--region R] [--keep]: deploys deploy/aws/template.yaml to a real account, checks what no emulator
proves (IAM, the CDN's access to bucket and function, signed cookies, lifecycle), takes it all down again and prints what it cost.

It makes a stack, two buckets, three users and a distribution, all called miharu-cloudtest-..., and touches nothing else. --keep
leaves them, to look at. Twenty minutes, most of them waiting for the distribution; some cents."""
import argparse
import base64
import hashlib
import http.cookiejar
import json
import os
import pathlib
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import boto3
import botocore.config
import botocore.exceptions

ROOT = pathlib.Path(__file__).resolve().parents[2]
ZIP = ROOT / "build/lambda/miharu-lambda.zip"
MIHARU = pathlib.Path(os.environ.get("MIHARU_BIN", ROOT / "build/release/miharu"))
TEMPLATE = ROOT / "deploy/aws/template.yaml"
CODE_LINE = "CodeUri: ../../build/lambda/miharu-lambda.zip"
RELAY = "home"


class Checks:
    def __init__(self):
        self.failed = 0

    def __call__(self, good, what):
        print(f"{'ok    ' if good else 'not ok'} {what}", flush=True)
        self.failed += 0 if good else 1
        return good

    def refused(self, call, what):
        try:
            call()
        except botocore.exceptions.ClientError as error:
            return self(error.response["Error"]["Code"] in ("AccessDenied", "403"), what)
        return self(False, what + ": it was allowed")


def packaged_template(code):
    """The template with the function's code in a bucket."""
    text = TEMPLATE.read_text(encoding="utf-8")
    assert text.count(CODE_LINE) == 1
    return text.replace(CODE_LINE, f"CodeUri: {code}")


def new_keys(folder):
    """Parameters of the template that nobody else knows."""
    private, public = folder / "cdn.pem", folder / "cdn.pub"
    subprocess.run(["openssl", "genrsa", "-out", private, "2048"], check=True, capture_output=True)
    subprocess.run(["openssl", "rsa", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
    return {"TokenKey": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("="),
            "CdnPrivateKey": private.read_text(encoding="ascii"), "CdnPublicKey": public.read_text(encoding="ascii")}


def parameters_of(name, mail, folder):
    return {"BucketName": name, "Prefix": "test/", "Relay": RELAY, "KeepDays": "3", "BudgetMail": mail, **new_keys(folder)}


class Site:
    """The page's address, as a browser uses it."""

    def __init__(self, address):
        self.address = address
        self.cookies = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))

    def ask(self, path, body=None):
        """(status, headers, body)"""
        request = urllib.request.Request(path if "://" in path else self.address + path)
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
            request.add_header("x-amz-content-sha256", hashlib.sha256(request.data).hexdigest())
        try:
            with self.opener.open(request, timeout=40) as response:
                return response.status, response.headers, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read()


class CloudTest:
    def __init__(self, arguments, folder):
        self.folder = folder
        self.session = boto3.Session(profile_name=arguments.profile, region_name=arguments.region)
        self.region = self.session.region_name
        if not self.region:
            sys.exit("say which region: --region eu-central-1")
        self.name = f"miharu-cloudtest-{secrets.token_hex(4)}"
        self.code_bucket = self.name + "-code"
        self.s3 = self.session.client("s3")
        self.cloudformation = self.session.client("cloudformation")
        self.iam = self.session.client("iam")
        self.check = Checks()
        self.users = {}
        self.parameters = parameters_of(self.name, arguments.mail, folder)
        self.is_deployed = False

    def make_bucket(self, name):
        more = {} if self.region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": self.region}}
        self.s3.create_bucket(Bucket=name, **more)

    def deploy(self):
        self.make_bucket(self.code_bucket)
        self.s3.upload_file(str(ZIP), self.code_bucket, "function.zip")
        self.s3.put_object(Bucket=self.code_bucket, Key="template.yaml",
                           Body=packaged_template(f"s3://{self.code_bucket}/function.zip").encode())
        self.is_deployed = True
        self.change(self.cloudformation.create_stack, "stack_create_complete")
        outputs = self.outputs()
        self.parameters["SiteAddress"] = outputs["Page"]
        self.change(self.cloudformation.update_stack, "stack_update_complete")
        return outputs

    def change(self, call, waiter):
        call(StackName=self.name, TemplateURL=f"https://{self.code_bucket}.s3.{self.region}.amazonaws.com/template.yaml",
             Capabilities=["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
             Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in self.parameters.items()])
        print(f"waiting for {waiter} (minutes)", flush=True)
        self.cloudformation.get_waiter(waiter).wait(StackName=self.name, WaiterConfig={"Delay": 15, "MaxAttempts": 160})

    def outputs(self):
        (stack,) = self.cloudformation.describe_stacks(StackName=self.name)["Stacks"]
        return {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}

    def keys_of(self, user):
        if user not in self.users:
            made = self.iam.create_access_key(UserName=user)["AccessKey"]
            self.users[user] = (made["AccessKeyId"], made["SecretAccessKey"])
            time.sleep(15)  # until AWS knows it everywhere; it offers nothing to wait for
        return self.users[user]

    def client(self, user):
        access, secret = self.keys_of(user)
        return boto3.client("s3", region_name=self.region, aws_access_key_id=access, aws_secret_access_key=secret,
                            config=botocore.config.Config(retries={"max_attempts": 2}))

    def environment(self, user):
        access, secret = self.keys_of(user)
        clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return {**clean, "AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret, "AWS_REGION": self.region}

    def miharu(self, user, *arguments, stdin=""):
        return subprocess.run([MIHARU, *arguments], env=self.environment(user), input=stdin, capture_output=True, text=True, timeout=300,
                              check=False)

    def check_relay(self, outputs):
        config = self.folder / "miharu.toml"
        config.write_text(f'[server]\nlisten = "127.0.0.1:0"\n[record]\nsegment = "5s"\n[cloud]\nurl = "{outputs["Store"].rstrip("/")}"\n'
                          f'region = "{self.region}"\nrelay = "{RELAY}"\n[[camera]]\nname = "demo"\nurl = "demo:"\n', encoding="utf-8")
        user = outputs["RelayUserName"]
        self.s3.put_object(Bucket=self.name, Key=f"test/control/{RELAY}/wanted.json", Body=b"{}")
        done = self.miharu(user, "cloud", "test", "--json", "--config", str(config), "--data", str(self.folder / "data"))
        for step in map(json.loads, done.stdout.splitlines()):
            self.check(step["result"] == "ok", f"cloud test: {step['step']}: {step['text']}")
        self.check(done.returncode == 0, f"cloud test ends with 0 {done.stderr}")
        relay = self.client(user)
        key = {"Bucket": self.name, "Key": f"test/{RELAY}/rec/x/object"}
        relay.put_object(**key, Body=b"first", IfNoneMatch="*")
        self.check.refused(lambda: relay.put_object(**key, Body=b"second"), "the relay's key cannot overwrite")
        self.check.refused(lambda: relay.create_multipart_upload(**key), "nor by an upload in parts")
        self.check.refused(lambda: relay.list_object_versions(Bucket=self.name), "nor list versions")
        for other in ("test/app/index.html", "test/other/rec/x", f"test/control/{RELAY}/wanted.json", f"{RELAY}/rec/x"):
            self.check.refused(lambda other=other: relay.put_object(Bucket=self.name, Key=other, Body=b"x", IfNoneMatch="*"), f"nor put {other}")
        playlist = {"Bucket": self.name, "Key": f"test/{RELAY}/live/demo/1/live.m3u8"}
        for _ in range(2):
            relay.put_object(**playlist, Body=b"#EXTM3U")
        self.check(True, "but it replaces its live playlist")
        self.check.refused(lambda: self.s3.put_object(**key, Body=b"x"), "not even the account's owner overwrites a recording by mistake")
        reader = self.client(outputs["ReaderUserName"])
        wishes = {"Bucket": self.name, "Key": f"test/control/{RELAY}/wanted.json"}
        etag = reader.get_object(**wishes)["ETag"]
        reader.put_object(**wishes, Body=b"{}", IfMatch=etag)
        self.check.refused(lambda: reader.put_object(**wishes, Body=b"{}"), "a reader replaces wishes by If-Match alone")
        self.check.refused(lambda: reader.delete_object(**key), "and deletes nothing")
        return config

    def check_settings(self):
        rules = self.s3.get_bucket_lifecycle_configuration(Bucket=self.name)["Rules"]
        expiry = {rule["Filter"]["Prefix"] if "Filter" in rule else rule["Prefix"]: rule.get("Expiration", {}).get("Days") for rule in rules}
        self.check(expiry.get(f"test/{RELAY}/rec/") == 3, "recordings expire after the days that were asked for")
        self.check(self.s3.get_bucket_versioning(Bucket=self.name).get("Status") == "Enabled", "versions are kept")
        rule = self.s3.get_bucket_cors(Bucket=self.name)["CORSRules"][0]
        self.check(set(rule["ExposeHeaders"]) == {"Content-Range", "Content-Length", "ETag"}, "CORS exposes what players read")

    def record(self, user, config):
        """Some objects by the real program."""
        with open(self.folder / "run.log", "wb") as log:
            process = subprocess.Popen([MIHARU, "run", "--config", config, "--data", self.folder / "data"], env=self.environment(user),
                                       stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline:
                found = self.s3.list_objects_v2(Bucket=self.name, Prefix=f"test/{RELAY}/rec/demo/").get("Contents", [])
                if len(found) >= 3:
                    break
                time.sleep(2)
            return self.check(len(found) >= 3, "the recorder's objects are in the bucket") and [each["Key"] for each in found]
        finally:
            process.terminate()
            process.wait(30)

    def check_site(self, outputs, keys):
        admin, store = outputs["AdminUserName"], outputs["Store"].rstrip("/")
        done = self.miharu(admin, "publish", "--store", store)
        self.check(done.returncode == 0, f"publish {done.stderr}")
        password = secrets.token_urlsafe(12)
        done = self.miharu(admin, "user", "add", "alice", "--store", store, stdin=password + "\n")
        self.check(done.returncode == 0, f"user add {done.stderr}")
        site = Site(outputs["Page"])
        status, headers, body = site.ask("/")
        self.check(status == 200 and b"miharu" in body and headers.get("Referrer-Policy") == "no-referrer", "the page is there")
        self.check(site.ask("/api/v1/cameras")[0] == 401, "without credentials nothing is told")
        media = "/media/" + keys[0].removeprefix("test/")
        self.check(site.ask(media)[0] == 403, "nor are media given")
        self.check(site.ask("/api/v1/session", {"user": "alice", "password": password})[0] == 204, "signing in")
        status, _, body = site.ask("/api/v1/cameras")
        self.check(status == 200 and [each["name"] for each in json.loads(body)["cameras"]] == ["demo"], "the camera is listed")
        status, _, body = site.ask("/hls/demo/vod.m3u8?from=-1h&to=now")
        self.check(status == 200 and keys[0].rsplit("/", 1)[1].encode() in body, "the playlist names the objects")
        whole = self.s3.get_object(Bucket=self.name, Key=keys[0])["Body"].read()
        status, _, body = site.ask(media)
        self.check(status == 200 and body == whole, "media come by signed cookies, byte for byte")
        for path in ("/media/auth/users.json", "/media/app/index.html", f"/media/control/{RELAY}/wanted.json"):
            self.check(site.ask(path)[0] in (403, 404), f"{path} is nobody's")
        function = self.session.client("lambda").get_function_url_config(FunctionName=self.function_name())["FunctionUrl"]
        self.check(Site(function).ask(function + "api/v1/cameras")[0] == 403, "the function answers nobody but the CDN")
        public = f"https://{self.name}.s3.{self.region}.amazonaws.com/{keys[0]}"
        self.check(Site(public).ask(public)[0] == 403, "the bucket answers nobody")

    def function_name(self):
        return self.cloudformation.describe_stack_resource(StackName=self.name, LogicalResourceId="Function")["StackResourceDetail"]["PhysicalResourceId"]

    def empty(self, bucket):
        try:
            for page in self.s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
                found = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in page.get("Versions", []) + page.get("DeleteMarkers", [])]
                if found:
                    self.s3.delete_objects(Bucket=bucket, Delete={"Objects": found, "Quiet": True})
            self.s3.delete_bucket(Bucket=bucket)
        except self.s3.exceptions.NoSuchBucket:
            pass

    def take_down(self):
        for user, (access, _) in self.users.items():
            self.iam.delete_access_key(UserName=user, AccessKeyId=access)
        if self.is_deployed:
            self.cloudformation.delete_stack(StackName=self.name)
            print("waiting for stack_delete_complete (minutes)", flush=True)
            self.cloudformation.get_waiter("stack_delete_complete").wait(StackName=self.name, WaiterConfig={"Delay": 15, "MaxAttempts": 160})
        self.empty(self.name)
        self.empty(self.code_bucket)

    def run(self):
        outputs = self.deploy()
        print(json.dumps(outputs, indent=2), flush=True)
        self.check_settings()
        config = self.check_relay(outputs)
        keys = self.record(outputs["RelayUserName"], config)
        if keys:
            self.check_site(outputs, keys)


def print_cost():
    prices = json.loads((ROOT / "deploy/prices.json").read_text(encoding="utf-8"))
    (aws,) = [each for each in prices["providers"] if each["name"] == "aws-s3"]
    # Generous: what this makes is some dozens of requests and some MB.
    bound = 500 / 1000 * aws["put_1000"] + 0.1 * aws["egress_gib"] + 0.1 * aws["storage_gib_month"]
    print(f"cost: below {bound:.2f} USD by the list prices of {prices['date']}; the account's bill shows it tomorrow, under the tag "
          "aws:cloudformation:stack-name")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", required=True, help="section of the AWS files, with an administrator's rights")
    parser.add_argument("--region", help="default: the profile's")
    parser.add_argument("--mail", default="nobody@example.com", help="where the budget alarm writes to")
    parser.add_argument("--keep", action="store_true", help="leave everything as it is, to look at")
    arguments = parser.parse_args()
    for path, how in ((ZIP, "./dev lambda"), (MIHARU, "./dev build")):
        if not path.exists():
            sys.exit(f"{path} is not there: {how}")
    with tempfile.TemporaryDirectory() as folder:
        test = CloudTest(arguments, pathlib.Path(folder))
        try:
            test.run()
        finally:
            if arguments.keep:
                print(f"left there: the stack {test.name}, the buckets {test.name} and {test.code_bucket}")
            else:
                test.take_down()
    print_cost()
    print(f"{test.check.failed} checks failed")
    sys.exit(1 if test.check.failed else 0)


if __name__ == "__main__":
    main()
