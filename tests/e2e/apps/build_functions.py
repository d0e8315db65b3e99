# SPDX-License-Identifier: Apache-2.0
"""Functions that run while an image is built."""
import os
import pathlib

import modal

app = modal.App("e2e-build-functions")

models = modal.Volume.from_name("e2e-build-models", create_if_missing=True)
# Used by the function, so that another value is another build; the secret has them inside.
EDITION = os.environ.get("E2E_EDITION", "one")
FAILS = os.environ.get("E2E_FAILS", "")
secret = modal.Secret.from_dict(
    {"E2E_KEY": "of the secret", "E2E_EDITION": EDITION, "E2E_FAILS": FAILS}
)


def download(name, *, size):
    import e2e_package.helper

    print("downloading", name)
    pathlib.Path("/models").mkdir()
    text = f"{name} {e2e_package.helper.double(size)} {EDITION} {len(os.environ['E2E_KEY'])}"
    pathlib.Path("/models", name).write_text(text)
    pathlib.Path("/kept", "seen.txt").write_text(name)
    if FAILS:
        raise RuntimeError(FAILS)


image = (
    modal.Image.debian_slim()
    .add_local_python_source("e2e_package", copy=True)
    .run_function(
        download, args=("tiny",), kwargs={"size": 21}, secrets=[secret], volumes={"/kept": models}
    )
    .env({"AFTER": "yes"})
)


@app.function(image=image, volumes={"/kept": models})
def look():
    return {
        "model": pathlib.Path("/models/tiny").read_text(),
        "left": sorted(os.listdir("/run")),
        "words": [name for name in os.environ if name.startswith(("THAW_BUILD", "E2E_KEY"))],
        "after": os.environ["AFTER"],
        "volume": pathlib.Path("/kept/seen.txt").read_text(),
    }
