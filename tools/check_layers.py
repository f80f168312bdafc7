#!/usr/bin/env python3
"""check_layers.py [SRC]: each folder of src/ may include only itself and the folders before it in LAYERS, and no
include may lead back to where it came from. Prints file:line of every breach; exit status 1 if there is one."""
import os
import re
import sys

LAYERS = ["base", "media", "net", "s3", "store", "ingest", "stream", "record", "hls", "upload", "webrtc", "api", "lambda", "app"]
INCLUDE = re.compile(r'\s*#\s*include\s+"([^"]+)"')


def read_tree(src):
    """{file: [(line number, included path)]}, paths relative to src."""
    tree = {}
    for folder, _, names in os.walk(src):
        for name in sorted(names):
            if name.endswith((".h", ".cpp")):
                path = os.path.join(folder, name)
                with open(path, encoding="utf-8", errors="replace") as lines:
                    found = [(i, m.group(1)) for i, text in enumerate(lines, 1) if (m := INCLUDE.match(text))]
                tree[os.path.relpath(path, src)] = found
    return tree


def breaches(tree):
    for path, includes in sorted(tree.items()):
        layer = path.split(os.sep)[0]
        if layer not in LAYERS:
            yield path, 1, f"folder {layer} is not a layer; the layers are {', '.join(LAYERS)}"
            continue
        for line, included in includes:
            target = included.split("/")[0]
            if included not in tree:
                yield path, line, f'there is no "{included}" in src/; includes are written from there'
            elif target in LAYERS and LAYERS.index(target) > LAYERS.index(layer):
                yield path, line, f'{layer} may not include {target} ("{included}"), which is built upon it'


def cycles(tree):
    done, stack = set(), []

    def visit(path, line):
        if path in stack:
            way = stack[stack.index(path):] + [path]
            yield stack[-1], line, "include cycle: " + " -> ".join(way)
        elif path not in done:
            stack.append(path)
            for next_line, included in tree[path]:
                if included in tree:
                    yield from visit(included, next_line)
            stack.pop()
            done.add(path)

    for path in sorted(tree):
        yield from visit(path, 0)


def main():
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "src")
    src = sys.argv[1] if len(sys.argv) > 1 else os.path.normpath(root)
    tree = read_tree(src)
    if not tree:
        print(f"{src}: no source files")
        return 1
    found = [*breaches(tree), *cycles(tree)]
    for path, line, text in found:
        print(f"{os.path.join(os.path.basename(src), path)}:{line}: {text}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
