#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The unmodified client for JavaScript: what it does is in languages.py, how in js/."""
import os
import pathlib
import shutil
import tempfile

from thaw_server import ThawServer, main

server = ThawServer.for_module()

import languages  # noqa: E402

PROGRAMS = pathlib.Path(__file__).resolve().parent / "js"


class JavaScript(languages.Language):
    def __init__(self):
        super().__init__(server, str(PROGRAMS / "package.json"))
        # A program finds packages from its own folder upwards.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="js-", dir=server.folder))
        os.symlink(os.path.join(self.home, "node_modules"), self.folder / "node_modules")
        shutil.copy(PROGRAMS / "package.json", self.folder)
        for program in PROGRAMS.glob("*.mjs"):
            shutil.copy(program, self.folder)

    def command(self, program):
        return ["node", str(self.folder / "run.mjs"), *program.split(".")]


globals().update(languages.tests_of(JavaScript(), server))

if __name__ == "__main__":
    main()
