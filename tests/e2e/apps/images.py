# SPDX-License-Identifier: Apache-2.0
"""Images: each layer kind once. E2E_IMAGE chooses one, so that a failing one stays alone."""
import os
import pathlib
import subprocess
import sys

import modal

HERE = pathlib.Path(__file__).parent
base = modal.Image.debian_slim(python_version="3.11")

RECIPES = {
    "layers": lambda: base.pip_install("humanize==4.13.0")
    .apt_install("tree")
    .env({"E2E_COLOUR": "blue"})
    .run_commands("mkdir -p /made", "echo $E2E_COLOUR > /made/colour", "echo from the build log")
    .add_local_file(HERE / "parcel" / "top.txt", "/made/top.txt", copy=True)
    .run_commands("cat /made/top.txt > /made/copied")
    .workdir("/made"),
    "registry": lambda: modal.Image.from_registry("python:3.11-slim-bookworm").run_commands(
        "echo ok > /registry"
    ),
    "dockerfile": lambda: modal.Image.from_dockerfile(
        HERE / "parcel" / "Dockerfile.test", context_dir=HERE / "parcel"
    ),
    "apt_python": lambda: modal.Image.from_registry(
        "debian:bookworm-slim",
        setup_dockerfile_commands=[
            "RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-venv",
            "RUN python3 -m venv /opt/venv",
            "ENV PATH=/opt/venv/bin:$PATH",
        ],
    ),
    "entrypoint": lambda: base.entrypoint(
        ["/bin/sh", "-c", 'export E2E_COLOUR=of-the-entrypoint; exec "$@"', "--"]
    ),
    "add_python": lambda: modal.Image.from_registry("debian:bookworm-slim", add_python="3.11"),
    "not_pulled": lambda: modal.Image.from_registry("ubuntu:22.04"),
    "missing_package": lambda: base.pip_install("thaw-e2e-there-is-no-such-package==1.0"),
    "failing_step": lambda: base.run_commands("echo before", "sh -c 'echo why >&2; exit 7'"),
}

app = modal.App("e2e-images", image=RECIPES[os.environ.get("E2E_IMAGE", "layers")]())


@app.function(include_source=True)
def look():
    found = {"cwd": os.getcwd(), "colour": os.environ.get("E2E_COLOUR"), "python": sys.executable}
    made = ("/made/colour", "/made/copied", "/registry", "/from-dockerfile")
    for path in (*made, "/etc/os-release"):
        if os.path.exists(path):
            found[path] = pathlib.Path(path).read_text()
    try:
        import humanize

        found["humanize"] = humanize.intcomma(1234567)
    except ImportError:
        pass
    if os.path.exists("/usr/bin/tree"):
        found["tree"] = subprocess.check_output(["tree", "--version"], text=True)
    return found
