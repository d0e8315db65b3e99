#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The unmodified client for Go: what it does is in languages.py, how in go/."""
import os
import pathlib

from thaw_server import ThawServer, main

server = ThawServer.for_module()

import languages  # noqa: E402

PROGRAMS = pathlib.Path(__file__).resolve().parent / "go"


class Go(languages.Language):
    def __init__(self):
        super().__init__(server, str(PROGRAMS / "go.mod"))

    def command(self, program):
        return [os.path.join(self.home, "program"), program]


globals().update(languages.tests_of(Go(), server))

if __name__ == "__main__":
    main()
