# SPDX-License-Identifier: Apache-2.0
"""Deployed again and again: what it consists of depends on DEPLOYED_AS, its version."""
import os

import modal

VERSION = os.environ.get("DEPLOYED_AS", "0")
app = modal.App("e2e-deployed", tags={"team": "red", "made-by": "deployed.py"})
secret = modal.Secret.from_dict({"VERSION": VERSION})


def make():
    """Inside of a function, so that they are pickled whole: containers do not have this file."""
    import os

    import modal

    def version():
        return os.environ["VERSION"]

    app.function(name="version", serialized=True, secrets=[secret])(version)
    if VERSION != "1":
        return
    # Only the first version has these.
    app.function(name="extra", serialized=True, secrets=[secret])(version)

    class Counter:
        @modal.enter()
        def start(self):
            self.version = os.environ["VERSION"]

        @modal.method()
        def of(self, number):
            return f"{self.version} {number}"

    app.cls(serialized=True, secrets=[secret])(Counter)


make()
