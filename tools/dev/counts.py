#!/usr/bin/env python3
"""counts.py REPORT...: prints "PASSED FAILED SKIPPED" in all, of JUnit files (ctest, pytest, vitest), of TAP output
(node --test) or of lines "ok", "not ok" and "skip" (tools/dev/check.sh, fuzz.sh).
counts.py --failures REPORT...: prints what failed, each with the beginning and the end of what it said."""
import re
import sys
import xml.etree.ElementTree as ET

HEAD, TAIL = 25, 35


def of_junit(text):
    passed = failed = skipped = 0
    for case in ET.fromstring(text).iter("testcase"):
        if broken(case) is not None:
            failed += 1
        elif case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped


def broken(case):
    failure = case.find("failure")
    return failure if failure is not None else case.find("error")


def of_lines(text):
    def summary(name):
        found = re.search(rf"^# {name} (\d+)$", text, re.M)
        return int(found.group(1)) if found else None

    if summary("pass") is not None:
        return summary("pass"), summary("fail") + (summary("cancelled") or 0), summary("skipped") or 0
    return tuple(len(re.findall(rf"^{word}\b", text, re.M)) for word in ("ok", "not ok", "skip"))


def failures_of_junit(text):
    for case in ET.fromstring(text).iter("testcase"):
        failure = broken(case)
        if failure is not None:
            said = [failure.text or failure.get("message") or "", *(each.text or "" for each in case.findall("system-out"))]
            yield f"{case.get('classname')}: {case.get('name')}", "\n".join(said)


def failures_of_lines(text):
    # A test of TAP is followed by its diagnostics, which are indented further.
    for found in re.finditer(r"^( *)not ok (.*)\n((?:\1 +.*\n)*)", text, re.M):
        yield found.group(2), found.group(3)


def shortened(said):
    lines = said.rstrip().splitlines()
    if len(lines) > HEAD + TAIL:
        lines[HEAD:-TAIL] = [f"... {len(lines) - HEAD - TAIL} lines ..."]
    return "\n".join(lines)


def of_report(path, junit, lines, otherwise):
    try:
        text = open(path, encoding="utf-8", errors="replace").read()
        return junit(text) if text.lstrip().startswith("<") else lines(text)
    except (OSError, ET.ParseError):
        return otherwise


def main():
    if sys.argv[1] != "--failures":
        print(*map(sum, zip(*(of_report(path, of_junit, of_lines, (0, 0, 0)) for path in sys.argv[1:]))))
        return
    for path in sys.argv[2:]:
        for name, said in of_report(path, lambda text: list(failures_of_junit(text)), failures_of_lines, []):
            print(f"FAILED {name}\n{shortened(said)}")


if __name__ == "__main__":
    main()
