"""What deploy/ holds: the CloudFormation template is well formed and says what the program says; the units and the commands of the
self-hosted README work as they stand there."""
import functools
import importlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

import bucket
from bucket import Store, refused
from harness import BINARY, COULD_NOT, DONE, ROOT, miharu, wait_until

TEMPLATE = ROOT / "deploy/aws/template.yaml"
SELF_HOSTED = ROOT / "deploy/self-hosted"


@functools.lru_cache(maxsize=None)
def cfn_lint():
    done = subprocess.run([ROOT / "tools/dev/cfn_lint.sh"], capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    return pathlib.Path(done.stdout.strip())


def lint(path):
    return subprocess.run([cfn_lint(), path], capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module", name="template")
def template_as_json():
    """With the long forms of !Sub and the like."""
    code = "import json, sys, cfnlint.decode; print(json.dumps(cfnlint.decode.decode(sys.argv[1])[0]))"
    done = subprocess.run([cfn_lint().parent / "python", "-c", code, TEMPLATE], capture_output=True, text=True, check=True, timeout=120)
    return json.loads(done.stdout)


def test_cfn_lint_finds_nothing(tmp_path):
    done = lint(TEMPLATE)
    assert done.returncode == 0, done.stdout
    # It would see a mistake.
    broken = tmp_path / "broken.yaml"
    broken.write_text(TEMPLATE.read_text(encoding="utf-8").replace("!GetAtt FunctionUrl.FunctionUrl", "!GetAtt Nothing.FunctionUrl"),
                      encoding="utf-8")
    assert lint(broken).returncode != 0


def test_the_template_says_what_the_program_says(template):
    done = miharu("cloud", "policy", "--form", "cloudformation")
    assert done.returncode == DONE, done.stderr
    said = json.loads(done.stdout)
    resources = template["Resources"]
    for user, policy in (("RelayUser", "RelayPolicy"), ("ReaderUser", "ReaderPolicy"), ("AdminUser", "AdminPolicy")):
        (attached,) = resources[user]["Properties"]["Policies"]
        assert attached["PolicyDocument"] == said[policy], policy
    assert resources["Function"]["Properties"]["Policies"] == [said["ReaderPolicy"]]
    properties = resources["Bucket"]["Properties"]
    assert properties["LifecycleConfiguration"] == said["LifecycleConfiguration"]
    assert properties["CorsConfiguration"] == said["CorsConfiguration"]
    # And one statement more: what the CDN may read.
    statements = resources["BucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert statements[:-1] == said["BucketPolicy"]["Statement"]
    (cdn,) = statements[-1:]
    assert cdn["Principal"] == {"Service": "cloudfront.amazonaws.com"} and cdn["Action"] == ["s3:GetObject"]
    assert "auth/" not in json.dumps(cdn["Resource"]) and "AWS:SourceArn" in cdn["Condition"]["StringEquals"]


def test_users_of_two_stacks_do_not_meet(template):
    longest = {"BucketName": "b" * 37, "Relay": "r" * 20}
    for name, value in longest.items():
        assert re.fullmatch(template["Parameters"][name]["AllowedPattern"], value)
        assert not re.fullmatch(template["Parameters"][name]["AllowedPattern"], value + "x")
    names = []
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::IAM::User":
            names.append(resource["Properties"]["UserName"]["Fn::Sub"])
            assert "${BucketName}" in names[-1]
            assert len(re.sub(r"\$\{(\w+)\}", lambda name: longest[name[1]], names[-1])) <= 64
    assert len(set(names)) == 3


def test_names_that_no_recorder_may_have(template, tmp_path):
    pattern = template["Parameters"]["Relay"]["AllowedPattern"]
    for name, good in (("app", False), ("auth", False), ("control", False), ("rec", False), ("tmp", False), ("reader", False), ("admin", False),
                       ("home", True), ("admin2", True), ("record", True), ("r1", True), ("Home", False)):
        assert bool(re.fullmatch(pattern, name)) == good, name
        config = tmp_path / "miharu.toml"
        config.write_text(f'[cloud]\nurl = "s3://footage"\nrelay = "{name}"\n', encoding="utf-8")
        assert (miharu("config", "check", config).returncode == DONE) == good, name


def test_the_page_for_aws_gives_the_command_line_what_it_takes(tmp_path):
    """Chapter 4 with programs that only look: `aws` opens a --body as a file that it can wind back."""
    (chapter,) = [each for each in re.split(r"^## ", (ROOT / "deploy/README.md").read_text(encoding="utf-8"), flags=re.M) if each.startswith("4.")]
    script = "\n".join(re.findall(r"^```sh\n(.*?)^```", chapter, flags=re.M | re.S))
    (tmp_path / "bin").mkdir()
    (tmp_path / "miharu-cloud").mkdir()
    (tmp_path / "bin/miharu").write_text("#!/bin/sh\n", encoding="ascii")
    (tmp_path / "bin/aws").write_text('#!/bin/sh\nwhile [ "$1" != --body ]; do shift; done; test -f "$2" && cp "$2" put\n', encoding="ascii")
    for name in ("miharu", "aws"):
        (tmp_path / "bin" / name).chmod(0o755)
    subprocess.run(["bash", "-euo", "pipefail", "-c", script], check=True, cwd=tmp_path, timeout=60,
                   env={"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "HOME": str(tmp_path)})
    assert json.loads((tmp_path / "put").read_text(encoding="ascii")) == {}


def test_what_the_design_asks_of_the_template(template):
    resources = template["Resources"]
    assert all(resources["Bucket"]["Properties"]["PublicAccessBlockConfiguration"].values())
    function = resources["Function"]["Properties"]
    assert (function["Runtime"], function["Handler"], function["MemorySize"]) == ("provided.al2023", "bootstrap", 1024)
    assert "ReservedConcurrentExecutions" not in function and function["FunctionUrlConfig"]["AuthType"] == "AWS_IAM"
    actions = {each["Properties"]["Action"] for each in resources.values() if each["Type"] == "AWS::Lambda::Permission"}
    assert actions == {"lambda:InvokeFunctionUrl", "lambda:InvokeFunction"}
    cdn = resources["Cdn"]["Properties"]["DistributionConfig"]
    assert {each["ErrorCachingMinTTL"] for each in cdn["CustomErrorResponses"]} == {0}
    for behavior in cdn["CacheBehaviors"]:
        assert behavior["PathPattern"].startswith("/media/") and behavior["TrustedKeyGroups"] and behavior["TargetOriginId"] == "bucket"
    assert cdn["DefaultCacheBehavior"]["TargetOriginId"] == "function"
    # No secret leaves the template.
    for name in ("TokenKey", "CdnPrivateKey"):
        assert template["Parameters"][name]["NoEcho"] is True
    assert "AWS::IAM::AccessKey" not in {each["Type"] for each in resources.values()}
    assert "Key" not in json.dumps(template["Outputs"])


def test_cloudtest_gives_the_template_what_it_asks_for(template, tmp_path):
    """As far as that goes without an account."""
    sys.path.insert(0, str(ROOT / "tools/dev"))
    cloudtest = importlib.import_module("cloudtest")
    given = cloudtest.parameters_of("miharu-cloudtest-00", "a@example.com", tmp_path)
    asked = template["Parameters"]
    assert {name for name, about in asked.items() if "Default" not in about} <= set(given) <= set(asked)
    for name, value in given.items():
        assert re.fullmatch(asked[name].get("AllowedPattern", "(?s).*"), value), name
    (tmp_path / "template.yaml").write_text(cloudtest.packaged_template("s3://bucket/function.zip"), encoding="utf-8")
    assert lint(tmp_path / "template.yaml").returncode == 0


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_the_units(tmp_path):
    for unit in SELF_HOSTED.glob("*.service"):
        # Programs that this machine has in their place.
        text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text(encoding="utf-8"), flags=re.M)
        (tmp_path / unit.name).write_text(re.sub(r"^(User|EnvironmentFile)=.*\n", "", text, flags=re.M), encoding="utf-8")
    shutil.copy(SELF_HOSTED / "miharu-prune.timer", tmp_path)
    done = subprocess.run(["systemd-analyze", "verify", *sorted(tmp_path.iterdir())], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr


def blocks_of_readme():
    """The shell commands of its chapters, by the chapter's number."""
    chapters = re.split(r"^## ", (SELF_HOSTED / "README.md").read_text(encoding="utf-8"), flags=re.M)[1:]
    return {chapter[0]: "\n".join(re.findall(r"^```sh\n(.*?)^```", chapter, flags=re.M | re.S)) for chapter in chapters}


def environment_of(unit, path):
    """As systemd reads an EnvironmentFile."""
    assert f"EnvironmentFile=/etc/miharu/{path.name}\n" in (SELF_HOSTED / unit).read_text(encoding="utf-8")
    lines = [line.split("=", 1) for line in path.read_text(encoding="utf-8").splitlines()]
    return {name: value for name, value in lines if name}


def command_of(unit, environment, root):
    """ExecStart, with folders and programs of the test in place of the machine's."""
    (line,) = re.findall(r"^ExecStart=(.*)$", (SELF_HOSTED / unit).read_text(encoding="utf-8"), flags=re.M)
    line = re.sub(r"\$\{(\w+)\}", lambda name: environment[name[1]], line)
    programs = {"/usr/local/bin/miharu": str(BINARY), "/usr/local/bin/versitygw": str(bucket.versitygw())}
    return [programs.get(word, word.replace("/srv/", f"{root}/srv/")) for word in line.split()]


def test_the_self_hosted_page_works_as_it_stands(tmp_path):
    root = tmp_path
    blocks = blocks_of_readme()
    with Store(tmp_path / "unused") as probe:  # a port that is free
        port = probe.port

    def run(text):
        # What needs root or systemd is left out; folders are those of the test.
        kept = [line for line in text.splitlines() if not re.match(r"(for user|systemctl|cp deploy)", line)]
        script = "set -euo pipefail\n" + "\n".join(kept)
        script = re.sub(r"(?<![\w.])/(etc|srv|root)/", rf"{root}/\1/", script).replace(":7070", f":{port}")
        script = re.sub(r" -o miharu-\w+( -g miharu-\w+)?", "", script)
        done = subprocess.run(["bash", "-c", script], input="correct horse battery\n", capture_output=True, text=True, check=False, timeout=120,
                              env={"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "HOME": str(tmp_path)})
        assert done.returncode == 0, script + done.stdout + done.stderr
        return done.stdout

    for folder in ("bin", "root", "etc", "srv"):
        (tmp_path / folder).mkdir()
    (tmp_path / "bin/miharu").symlink_to(BINARY)
    run(blocks["1"])
    store = environment_of("miharu-store.service", root / "etc/miharu/store.env")
    assert len(store["ROOT_SECRET_ACCESS_KEY"]) >= 28
    processes = []
    try:
        command = [word.replace(":7070", f":{port}") for word in command_of("miharu-store.service", store, root)]
        with open(tmp_path / "store.log", "wb") as log:
            processes.append(subprocess.Popen(command, env={**os.environ, **store}, stdout=log, stderr=log))
        wait_until(lambda: bucket.listening_port(processes[0].pid), 20, "the store listens")
        assert "miharu prune --keep 30d" in run(blocks["2"])
        run(blocks["2"].split("miharu cloud")[0] + blocks["3"])

        serve = environment_of("miharu-serve.service", root / "etc/miharu/serve.env")
        command = [word.replace(":8081", ":0") for word in command_of("miharu-serve.service", serve, root)]
        with open(tmp_path / "serve.out", "wb") as out:
            processes.append(subprocess.Popen(command, stdout=out, stderr=out,
                                              env={**os.environ, **serve, "MIHARU_TOKEN_KEY_FILE": str(root / "etc/miharu/serve.key")}))
        said = tmp_path / "serve.out"
        wait_until(lambda: "Open http" in said.read_text(encoding="utf-8"), 20, "the page is served")
        assert "Nobody can sign in" not in said.read_text(encoding="utf-8")

        prune = environment_of("miharu-prune.service", root / "etc/miharu/prune.env")
        done = subprocess.run(command_of("miharu-prune.service", prune, root), env={**os.environ, **prune}, capture_output=True, text=True,
                              check=False, timeout=60)
        assert done.returncode == 0 and "0 objects" in done.stdout, done.stderr
        # The page's key lists and reads, a bucket without a prefix too, and cannot write.
        done = miharu("ls", "front", "--store", "s3://footage", env=serve)
        assert done.returncode == COULD_NOT and "there is none at all" in done.stderr, done.stderr
        probe.port = port
        reader = probe.client((serve["AWS_ACCESS_KEY_ID"], serve["AWS_SECRET_ACCESS_KEY"]))
        assert refused(lambda: reader.put_object(Bucket="footage", Key="auth/users.json", Body=b"{}")) == "AccessDenied"
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(20)
