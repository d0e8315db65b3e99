# SPDX-License-Identifier: Apache-2.0
"""Secrets, variables, and files that come with a function."""
import hashlib
import os
import pathlib
import subprocess

import modal

HERE = pathlib.Path(__file__).parent
LARGE = pathlib.Path(os.environ.get("E2E_LARGE_FILE", "/nonexistent"))

image = (
    modal.Image.debian_slim(python_version="3.11")
    .add_local_file(HERE / "parcel" / "top.txt", "/opt/one.txt")
    .add_local_dir(HERE / "parcel", "/opt/parcel")
    .add_local_python_source("e2e_package")
    .add_local_file(LARGE, "/opt/large.bin")
)

app = modal.App("e2e-files", image=image)


@app.function()
def read_files():
    parcel = pathlib.Path("/opt/parcel")
    return {
        "one": pathlib.Path("/opt/one.txt").read_text(),
        "tree": sorted(str(p.relative_to(parcel)) for p in parcel.rglob("*") if p.is_file()),
        "deep": (parcel / "inner" / "deep.txt").read_text(),
        "program": subprocess.check_output([parcel / "program.sh"], text=True),
        "large": hashlib.sha256(pathlib.Path("/opt/large.bin").read_bytes()).hexdigest(),
    }


@app.function()
def use_package(number):
    import e2e_package.helper

    return e2e_package.NAME, e2e_package.helper.double(number)


@app.function(
    secrets=[
        modal.Secret.from_dict({"FIRST": "one", "SHARED": "from the first"}),
        modal.Secret.from_dict({"SECOND": "zwei ö", "SHARED": "from the second"}),
        modal.Secret.from_name("e2e-named"),
    ],
    env={"PLAIN": "a variable"},
)
def read_environment():
    names = ("FIRST", "SECOND", "SHARED", "NAMED", "PLAIN")
    return {name: os.environ.get(name) for name in names}


@app.function()
def all_environment():
    return dict(os.environ)


@app.function()
def try_to_write_everywhere():
    """Where a function may write: its own root, not the host's."""
    pathlib.Path("/tmp/mark").write_text("x")
    pathlib.Path("/root/mark").write_text("x")
    return sorted(os.listdir("/"))
