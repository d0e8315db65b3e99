# SPDX-License-Identifier: Apache-2.0
"""tools/coverage: the table and the floor, from what llvm-cov says."""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools" / "coverage"


class CoverageTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="thaw-coverage-")
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name).resolve()
        (self.root / "tests").mkdir()
        self.floor = self.root / "tests" / "coverage_floor.txt"
        self.covered = {"queue/lease.cc": (60, 100), "queue/detail/log.h": (40, 100),
                        "dialect/modal/app.cc": (9, 10), "queue/lease_test.cc": (0, 500),
                        "queue/testing/fake.h": (0, 500)}

    def run_tool(self, *arguments):
        files = [{"filename": str(self.root / "thaw" / name),
                  "summary": {"lines": {"count": lines, "covered": covered}}}
                 for name, (covered, lines) in self.covered.items()]
        files.append({"filename": "/usr/include/c++/12/vector",
                      "summary": {"lines": {"count": 1000, "covered": 0}}})
        summary = self.root / "summary.json"
        summary.write_text(json.dumps({"data": [{"files": files}]}))
        outcome = subprocess.run(
            [sys.executable, TOOL, "--root", self.root, "--summary", summary, *arguments],
            capture_output=True, text=True, check=False)
        return outcome.returncode, outcome.stdout

    def test_modules_are_summed_without_tests_and_what_is_not_ours(self):
        self.floor.write_text("queue 50\ndialect/modal 90.0\n")
        code, output = self.run_tool()
        self.assertEqual(code, 0, output)
        self.assertRegex(output, r"(?m)^queue +200 +50\.0 % +50\.0$")
        self.assertRegex(output, r"(?m)^dialect/modal +10 +90\.0 % +90\.0$")
        self.assertRegex(output, r"(?m)^all +210 +51\.9 %$")

    def test_half_a_point_may_be_lost_and_no_more(self):
        self.floor.write_text("queue 50.5\ndialect/modal 90.0\n")
        self.assertEqual(self.run_tool()[0], 0)
        self.floor.write_text("queue 50.6\ndialect/modal 90.0\n")
        code, output = self.run_tool()
        self.assertEqual(code, 1)
        self.assertIn("queue has fallen from 50.6 % to 50.0 %", output)

    def test_every_module_has_a_floor_and_every_floor_a_module(self):
        self.floor.write_text("queue 50.0\ngone 10.0\n")
        code, output = self.run_tool()
        self.assertEqual(code, 1)
        self.assertIn("dialect/modal has no floor", output)
        self.assertIn("gone is in the floor file and is not there", output)

    def test_raise_takes_what_is_better_and_keeps_what_is_not(self):
        self.floor.write_text("queue 45.0\ndialect/modal 95.0\ngone 10.0\n")
        self.assertEqual(self.run_tool("--raise")[0], 1)
        lines = [line for line in self.floor.read_text().split("\n") if not line.startswith("#")]
        self.assertEqual(lines, ["dialect/modal 95.0", "queue 50.0", ""])
        self.covered["dialect/modal/app.cc"] = (10, 10)
        self.assertEqual(self.run_tool("--raise")[0], 0)
        self.assertIn("dialect/modal 100.0\n", self.floor.read_text())


if __name__ == "__main__":
    unittest.main()
