# SPDX-License-Identifier: Apache-2.0
"""Files that were found to be formatted, by their content: they are not asked about again.

Kept for all checkouts of this user, since most of their files are the same; the oldest of too many
are forgotten.
"""
import hashlib
import os
import pathlib
import subprocess

MOST = 20_000


class Formatted:
    def __init__(self, root, formatter):
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        self._path = pathlib.Path(cache) / "thaw" / "formatted"
        version = subprocess.run([formatter, "--version"], capture_output=True, check=True).stdout
        config = root / ".clang-format"
        self._common = hashlib.sha256(version + (config.read_bytes() if config.exists() else b""))
        self._root = root
        self._known = dict.fromkeys(self._read())

    def _read(self):
        try:
            return self._path.read_text().split()
        except OSError:
            return []

    def _digest(self, path):
        digest = self._common.copy()
        # What it says may depend on the name (main header first, say).
        digest.update(str(path).encode() + b"\0" + (self._root / path).read_bytes())
        return digest.hexdigest()[:32]

    def unknown(self, paths):
        return [path for path in paths if self._digest(path) not in self._known]

    def remember(self, paths):
        if not paths:
            return
        found = dict.fromkeys([*self._read(), *map(self._digest, paths)])
        fresh = self._path.with_suffix(f".{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text("\n".join(list(found)[-MOST:]) + "\n")
            fresh.rename(self._path)
        except OSError:
            pass  # a cache that cannot be written is one less
