#!/usr/bin/env python3
"""coverage_table.py INFO LEAST FILE...: a table of the line coverage of src/FILE.cpp and src/FILE.h together, from an
lcov tracefile, with the lines that never ran. Exit status 1 when one has less than LEAST percent or is not there."""
import re
import sys


def read(path):
    """{file below src/: {line: count}}"""
    files, lines = {}, {}
    for record in open(path):
        kind, _, rest = record.rstrip("\n").partition(":")
        if kind == "SF":
            found = re.search(r"(?:^|/)src/(.*)", rest)
            lines = files.setdefault(found[1], {}) if found else {}
        elif kind == "DA":
            line, count = rest.split(",")[:2]
            lines[int(line)] = max(lines.get(int(line), 0), int(count))
    return files


def ranges(numbers):
    """[3, 4, 5, 9] -> "3-5 9" """
    out = []
    for number in numbers:
        if out and out[-1][1] == number - 1:
            out[-1][1] = number
        else:
            out.append([number, number])
    return " ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in out)


def main():
    files = read(sys.argv[1])
    least = float(sys.argv[2])
    poor, all_lines, all_run = 0, 0, 0
    for name in sys.argv[3:]:
        parts = {suffix: files[name + suffix] for suffix in (".cpp", ".h") if name + suffix in files}
        count = sum(len(lines) for lines in parts.values())
        if count == 0:
            print(f"{name:32} not in any program")
            poor += 1
            continue
        run = sum(1 for lines in parts.values() for hits in lines.values() if hits)
        missed = ", ".join(suffix + " " + ranges(sorted(line for line, hits in lines.items() if not hits))
                           for suffix, lines in parts.items() if not all(lines.values()))
        percent = 100 * run / count
        mark = "" if percent >= least else "  BELOW"
        print(f"{name:32} {run:5} / {count:<5} {percent:6.1f} %{mark}   {missed}".rstrip())
        poor += percent < least
        all_lines += count
        all_run += run
    print(f"{'all of these':32} {all_run:5} / {all_lines:<5} {100 * all_run / max(all_lines, 1):6.1f} %")
    if poor:
        print(f"{poor} below {least:g} %")
    return 1 if poor else 0


if __name__ == "__main__":
    sys.exit(main())
