# SPDX-License-Identifier: Apache-2.0
"""tools/lint: what it looks at again and what it remembers, with a stand-in for clang-tidy."""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools" / "lint"

# Notes each file that it is asked about; finds each `bad` in it and in what it includes.
STAND_IN = f"#!{sys.executable} -SE" + '''
import os, pathlib, re, sys
if sys.argv[1] == "--version":
    print("stand-in 1")
    sys.exit()
root = pathlib.Path(os.environ["STAND_IN_ROOT"])
path = pathlib.Path(sys.argv[3])
with (root / "asked").open("a") as asked:
    asked.write(path.name + "\\n")
found = False
files = [path] + [root / name for name in re.findall(r'#include "(.*)"', path.read_text())]
for file in files:
    if file != path:
        print(f". {root}/./{file.relative_to(root)}", file=sys.stderr)
    for number, line in enumerate(file.read_text().split("\\n"), 1):
        if "bad" in line:
            found = True
            print(f"{file}:{number}:1: error: this is bad [bugprone-x,-warnings-as-errors]")
        if "broken" in line:
            print(f"{file}:{number}:1: error: no such thing [clang-diagnostic-error]")
            found = True
sys.exit(1 if found else 0)
'''


class LintTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="thaw-lint-")
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name).resolve()
        self.write(".clang-tidy", "Checks: bugprone-*\n")
        self.write("thaw/a.h", "int a;\n")
        self.write("thaw/a.cc", '#include "thaw/a.h"\n')
        self.write("thaw/b.cc", "int b;\n")
        self.write("thaw/other.cc", "int only_other_presets;\n")
        self.write("stand-in", STAND_IN)
        (self.root / "stand-in").chmod(0o755)
        for command in ("init -q", "add -A", "-c user.name=x -c user.email=x@y commit -qm begin"):
            subprocess.run(["git", *command.split()], cwd=self.root, check=True)
        self.compile_with("-O2")

    def write(self, path, text):
        full = self.root / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_text(text)

    def compile_with(self, flag):
        entries = [{"directory": str(self.root), "file": str(self.root / name),
                    "command": f"c++ {flag} -o x.o -c {self.root / name}"}
                   for name in ("thaw/a.cc", "thaw/b.cc", "build/gen/c.cc")]
        self.write("db.json", json.dumps(entries))

    def lint(self, *arguments):
        """(exit code, output, names that were looked at)."""
        environment = dict(os.environ, CLANG_TIDY=str(self.root / "stand-in"),
                           STAND_IN_ROOT=str(self.root))
        asked = self.root / "asked"
        asked.write_text("")
        outcome = subprocess.run(
            [sys.executable, TOOL, "--root", self.root, "--database", self.root / "db.json",
             *arguments], env=environment, capture_output=True, text=True, check=False)
        return outcome.returncode, outcome.stdout + outcome.stderr, \
            sorted(asked.read_text().split())

    def test_each_file_is_looked_at_once(self):
        self.assertEqual(self.lint()[::2], (0, ["a.cc", "b.cc", "other.cc"]))
        self.assertEqual(self.lint()[::2], (0, []))

    def test_what_a_file_includes_makes_it_another(self):
        self.lint()
        self.write("thaw/a.h", "int a2;\n")
        self.assertEqual(self.lint()[2], ["a.cc"])

    def test_other_flags_or_other_checks_make_all_others(self):
        self.lint()
        self.compile_with("-O0")
        self.assertEqual(self.lint()[2], ["a.cc", "b.cc", "other.cc"])
        self.write(".clang-tidy", "Checks: performance-*\n")
        self.assertEqual(self.lint()[2], ["a.cc", "b.cc", "other.cc"])

    def test_a_finding_fails_until_it_is_mended(self):
        self.write("thaw/a.h", "int a;\nint bad;\n")
        for asked in (["a.cc", "b.cc", "other.cc"], []):
            code, output, looked_at = self.lint()
            self.assertEqual((code, looked_at), (1, asked))
            self.assertIn("thaw/a.h:2:1: this is bad [bugprone-x]", output)
        self.write("thaw/a.h", "int a;\n")
        self.assertEqual(self.lint()[0], 0)

    def test_a_finding_in_a_header_is_told_once(self):
        self.write("thaw/a.h", "int bad;\n")
        self.write("thaw/b.cc", '#include "thaw/a.h"\n')
        self.assertEqual(len(re.findall("this is bad", self.lint()[1])), 1)

    def test_a_file_that_does_not_compile_fails_and_is_looked_at_again(self):
        self.write("thaw/b.cc", "broken;\n")
        code, output, _ = self.lint()
        self.assertEqual(code, 1)
        self.assertIn("does not compile", output)
        self.assertEqual(self.lint()[2], ["b.cc"])

    def test_since_a_revision_only_what_sees_a_change(self):
        self.write("thaw/a.h", "int bad;\n")
        code, output, asked = self.lint("--since", "HEAD")
        self.assertEqual((code, asked), (1, ["a.cc"]))
        self.assertIn("lint: 1 files", output)
        self.assertEqual(self.lint("--since", "nowhere")[0], 2)

    def test_named_files(self):
        self.assertEqual(self.lint("thaw/a.h")[2], ["a.cc"])
        self.assertEqual(self.lint("thaw/none.h")[0], 2)


if __name__ == "__main__":
    unittest.main()
