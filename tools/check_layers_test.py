#!/usr/bin/env python3
"""Trees that check_layers.py must pass or refuse."""
import os
import subprocess
import sys
import tempfile
import unittest

CHECK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "check_layers.py")


def check(files):
    with tempfile.TemporaryDirectory() as folder:
        src = os.path.join(folder, "src")
        os.mkdir(src)
        for name, text in files.items():
            path = os.path.join(src, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as out:
                out.write(text)
        done = subprocess.run([sys.executable, CHECK, src], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout


class CheckLayers(unittest.TestCase):
    def test_upwards_is_fine(self):
        tree = {"base/a.h": "#include <string>\n", "hls/b.cpp": '#include "base/a.h"\n#include "hls/b.h"\n', "hls/b.h": ""}
        self.assertEqual(check(tree), (0, ""))

    def test_downwards_is_refused_with_its_place(self):
        status, text = check({"base/a.h": '\n#include "net/b.h"\n', "net/b.h": ""})
        self.assertEqual(status, 1)
        self.assertIn("src/base/a.h:2: base may not include net", text)

    def test_cycle_inside_a_layer(self):
        status, text = check({"net/a.h": '#include "net/b.h"\n', "net/b.h": '#include "net/a.h"\n'})
        self.assertEqual(status, 1)
        self.assertIn("src/net/b.h:1: include cycle: net/a.h -> net/b.h -> net/a.h", text)

    def test_include_that_is_not_from_the_root(self):
        status, text = check({"net/a.h": "", "net/b.h": '#include "a.h"\n'})
        self.assertEqual(status, 1)
        self.assertIn('src/net/b.h:1: there is no "a.h"', text)

    def test_unknown_folder(self):
        self.assertIn("folder util is not a layer", check({"util/a.h": ""})[1])

    def test_nothing_to_check_is_a_failure(self):
        self.assertEqual(check({})[0], 1)


if __name__ == "__main__":
    unittest.main()
