# SPDX-License-Identifier: Apache-2.0
"""tools/steps: what `make check` and `make nightly` tell about their steps."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools" / "steps"
MAKEFILE = "good:\n\t@echo fine $(WORD)\nbad:\n\t@echo broken; exit 3\n"


class StepsTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="thaw-steps-")
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        (self.root / "Makefile").write_text(MAKEFILE)

    def run_steps(self, *arguments):
        return subprocess.run([sys.executable, TOOL, *arguments], cwd=self.root, text=True,
                              capture_output=True, check=False)

    def table(self, outcome, steps):
        return [line.split() for line in outcome.stdout.rstrip().split("\n")[-steps:]]

    def test_steps_that_pass(self):
        outcome = self.run_steps("good", "good WORD=twice")
        self.assertEqual(outcome.returncode, 0)
        self.assertIn("fine twice", outcome.stdout)
        self.assertEqual([row[-2] for row in self.table(outcome, 2)], ["passed", "passed"])

    def test_the_first_failure_ends_it(self):
        outcome = self.run_steps("good", "bad", "good WORD=after")
        self.assertEqual(outcome.returncode, 1)
        self.assertNotIn("fine after", outcome.stdout)
        last = self.table(outcome, 3)
        self.assertEqual(last[1][:2], ["bad", "FAILED"])
        self.assertEqual(last[2][-2:], ["not", "run"])

    def test_with_keep_going_all_are_run_and_a_failure_is_shown(self):
        outcome = self.run_steps("--keep-going", "--logs", "logs/here", "bad", "good")
        self.assertEqual(outcome.returncode, 1)
        self.assertEqual([row[1] for row in self.table(outcome, 2)], ["FAILED", "passed"])
        self.assertIn("    broken", outcome.stdout)
        self.assertNotIn("fine", outcome.stdout)
        self.assertEqual((self.root / "logs/here/02-good.log").read_text(), "fine\n")


if __name__ == "__main__":
    unittest.main()
