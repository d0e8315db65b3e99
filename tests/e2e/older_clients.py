# SPDX-License-Identifier: Apache-2.0
"""Other versions of the real client than the pinned one, each in an environment of its own."""
import functools
import os
import pathlib
import re
import subprocess

import preloaded_client
from thaw_server import APPS, BUILD_TIMEOUT, ROOT


class Client:
    """The client of one list of tests/clients."""

    def __init__(self, listing):
        path = ROOT / "tests/clients" / listing
        found = subprocess.run([ROOT / "tools/client", path], check=True, text=True,
                               stdout=subprocess.PIPE)  # fmt: skip
        self.folder = pathlib.Path(found.stdout.strip().splitlines()[-1])
        self.version = re.search(r"^modal==(.+)$", path.read_text(), re.M).group(1)
        self._preloaded = preloaded_client.PreloadedClient(self.folder / "python")
        self._was_given = False

    def modal(self, server, *arguments, **options):
        """Its command line: the first time as people give it, then by a fork of one that was."""
        words = [str(word) for word in arguments]
        if self._was_given:
            return self._forked(server, ["-m", "modal", *words], **options)
        self._was_given = True
        return self._ended(server, [self.folder / "modal", *words], subprocess.run, **options)

    def python(self, server, program, *arguments, **options):
        """`python -c PROGRAM`, where the client is imported already."""
        words = ["-c", program, *map(str, arguments)]
        return self._forked(server, ["-W", "ignore", *words], **options)

    def _forked(self, server, words, **options):
        def run(_, cwd, env, timeout, **unused):
            return self._preloaded.run(words, cwd, env, timeout)

        return self._ended(server, [self.folder / "python", *words], run, **options)

    @staticmethod
    def _ended(server, command, run, check=True, env=None):
        environment = {**os.environ, **server.client_environment(), **(env or {})}
        done = run(command, cwd=APPS, env=environment, timeout=BUILD_TIMEOUT, text=True,
                   capture_output=True, stdin=subprocess.DEVNULL)  # fmt: skip
        if check and done.returncode != 0:
            raise AssertionError(f"{command}\n{done.stdout}{done.stderr}\n{server.log_tail()}")
        return done


@functools.cache
def client(listing):
    return Client(listing)
