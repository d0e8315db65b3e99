# SPDX-License-Identifier: Apache-2.0
"""Secrets of each kind, by what a function sees of them."""
import os
import pathlib

import modal

app = modal.App("e2e-secrets")

# In a container there is neither the file nor the variable: the secrets are there already.
is_local = modal.is_local()
os.environ.setdefault("E2E_LOCAL", "of a container")
folder = pathlib.Path(os.environ.get("E2E_DOTENV", "/nonexistent"))
kinds = {
    "from_dict": modal.Secret.from_dict({"E2E_DICT": "of a dict", "E2E_NONE": None}),
    "from_local_environ": modal.Secret.from_local_environ(["E2E_LOCAL"]),
    "from_name": modal.Secret.from_name("e2e-secrets-named", required_keys=["E2E_NAMED"]),
}
if is_local:
    kinds["from_dotenv"] = modal.Secret.from_dotenv(folder, filename=".env")
else:
    kinds["from_dotenv"] = modal.Secret.from_dict({})  # a function has as many there


def seen():
    return {name: value for name, value in os.environ.items() if name.startswith("E2E_")}


@app.function(secrets=[kinds["from_dict"]])
def from_dict():
    return seen()


@app.function(secrets=[kinds["from_local_environ"]])
def from_local_environ():
    return seen()


@app.function(secrets=[kinds["from_dotenv"]])
def from_dotenv():
    return seen()


@app.function(secrets=[kinds["from_name"]])
def from_name():
    return seen()
