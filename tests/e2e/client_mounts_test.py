#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What tools/client-mounts gives up: scratch of runs that were killed, and the folders used longest
ago. Needs no server and no network."""
import fcntl
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import shutil
import sys
import tempfile
import unittest

TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools/client-mounts"
sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader("client_mounts", str(TOOL))
tool = importlib.util.module_from_spec(importlib.util.spec_from_loader("client_mounts", loader))
loader.exec_module(tool)


class GivenUp(unittest.TestCase):
    def setUp(self):
        self.out = pathlib.Path(tempfile.mkdtemp(prefix="thaw-mounts-"))
        self.addCleanup(shutil.rmtree, self.out)

    def folder(self, name, used_at):
        folder = self.out / name
        folder.mkdir()
        manifest = folder / "manifest.json"
        manifest.write_text(json.dumps({"identity": name, "bytecode": []}))
        os.utime(manifest, (used_at, used_at))
        return folder

    def test_scratch_of_a_killed_run_goes_and_that_of_a_living_one_stays(self):
        for name in ("deps-1-aa", "modal-client-1.0.0-bb"):
            (self.out / f".{name}.x1_y" / "work").mkdir(parents=True)
        other = self.out / ".somebody-elses.folder"
        other.mkdir()
        with tool.alone(self.out, "deps-1-aa"):
            tool.remove_unused(self.out)
        self.assertTrue((self.out / ".deps-1-aa.x1_y").exists())
        self.assertFalse((self.out / ".modal-client-1.0.0-bb.x1_y").exists())
        self.assertTrue(other.exists())
        tool.remove_unused(self.out)
        self.assertFalse((self.out / ".deps-1-aa.x1_y").exists())

    def test_of_too_many_folders_those_used_longest_ago_go_unless_a_server_has_them(self):
        many = [self.folder(f"deps-1-{n:03}", 1_000 + n) for n in range(tool.KEPT_FOLDERS + 3)]
        unfinished = self.out / "deps-1-unfinished"
        unfinished.mkdir()
        with open(many[1] / "manifest.json") as held:
            fcntl.flock(held, fcntl.LOCK_SH)
            tool.remove_unused(self.out)
        self.assertEqual([folder.exists() for folder in many[:4]], [False, True, False, True])
        self.assertTrue(all(folder.exists() for folder in many[3:]))
        self.assertTrue(unfinished.exists())
        self.assertEqual(list(self.out.glob(".deps*.*")), [])

    def test_a_folder_that_is_asked_for_again_is_used_now(self):
        old = self.folder("deps-1-old", 1_000)
        tool.ensure(old, "deps-1-old", "/x", None, "3.11", None)
        self.assertGreater((old / "manifest.json").stat().st_mtime, 1_000_000)


if __name__ == "__main__":
    unittest.main(verbosity=2)
