# SPDX-License-Identifier: Apache-2.0
"""A function on an image of a registry: E2E_IMAGE names it, E2E_LOGIN is USER:PASSWORD."""
import os
import pathlib
import sys

import modal

secret = None
if os.environ.get("E2E_LOGIN"):
    user, _, password = os.environ["E2E_LOGIN"].partition(":")
    secret = modal.Secret.from_dict({"REGISTRY_USERNAME": user, "REGISTRY_PASSWORD": password})

image = modal.Image.from_registry(
    os.environ.get("E2E_IMAGE", "127.0.0.1/none"),
    secret=secret,
    add_python=os.environ.get("E2E_ADD_PYTHON"),
)
app = modal.App("e2e-registries", image=image)


@app.function(include_source=True)
def look():
    return {
        "python": sys.version_info[:2],
        "env": os.environ.get("E2E_OF_THE_IMAGE"),
        "cwd": os.getcwd(),
        "marker": pathlib.Path("/marker").read_text(),
        "deleted": not os.path.exists("/etc/debian_version"),
        "hidden": sorted(os.listdir("/usr/share/misc")) if os.path.exists("/usr/share") else [],
    }


@app.local_entrypoint()
def main():
    import json

    print("found:", json.dumps(look.remote()))
