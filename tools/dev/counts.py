#!/usr/bin/env python3
"""counts.py REPORT...: prints "PASSED FAILED SKIPPED" in all, of JUnit files (ctest, pytest, vitest), of TAP output
(node --test) or of lines "ok", "not ok" and "skip" (tools/dev/check.sh, fuzz.sh)."""
import re
import sys
import xml.etree.ElementTree as ET


def of_junit(text):
    passed = failed = skipped = 0
    for case in ET.fromstring(text).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped


def of_lines(text):
    def summary(name):
        found = re.search(rf"^# {name} (\d+)$", text, re.M)
        return int(found.group(1)) if found else None

    if summary("pass") is not None:
        return summary("pass"), summary("fail") + (summary("cancelled") or 0), summary("skipped") or 0
    return tuple(len(re.findall(rf"^{word}\b", text, re.M)) for word in ("ok", "not ok", "skip"))


def of_report(path):
    try:
        text = open(path, encoding="utf-8", errors="replace").read()
        return of_junit(text) if text.lstrip().startswith("<") else of_lines(text)
    except (OSError, ET.ParseError):
        return 0, 0, 0


def main():
    print(*map(sum, zip(*map(of_report, sys.argv[1:]))))


if __name__ == "__main__":
    main()
