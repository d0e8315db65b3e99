# SPDX-License-Identifier: Apache-2.0
"""Images: each layer kind once. E2E_IMAGE chooses one, so that a failing one stays alone."""
import atexit
import functools
import io
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile

import modal

HERE = pathlib.Path(__file__).parent
base = modal.Image.debian_slim(python_version="3.11")

DOCKERFILE = """
FROM python:3.11-slim-bookworm AS maker
COPY . /all/
RUN mkdir /out && echo of a stage > /out/file
FROM python:3.11-slim-bookworm
ADD parcel.tar.gz /unpacked/
RUN --mount=type=bind,source=words.txt,target=/bound.txt \\
    --mount=type=bind,from=maker,source=/out,target=/stage \\
    --mount=type=tmpfs,target=/scratch \\
    --mount=type=cache,target=/root/.cache/things,sharing=locked \\
    touch /scratch/x /root/.cache/things/y && \\
    cat /bound.txt /stage/file /unpacked/inner/packed.txt > /mounted
"""


# The client sends what COPY names, and that only.
@functools.cache
def context():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="e2e-context-"))
    atexit.register(shutil.rmtree, folder)
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "words.txt").write_text("of the context\n")
    with tarfile.open(folder / "parcel.tar.gz", "w:gz") as archive:
        entry = tarfile.TarInfo("inner/packed.txt")
        text = b"of an archive\n"
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
    return folder


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
    # The context of a path is made here: an archive has no place among sources.
    "mounts": lambda: modal.Image.from_dockerfile(context() / "Dockerfile", context_dir=context()),
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
    made = ("/made/colour", "/made/copied", "/registry", "/from-dockerfile", "/mounted")
    scratch = ("/bound.txt", "/stage/file", "/scratch/x", "/root/.cache/things/y")
    found["left"] = [path for path in scratch if os.path.exists(path)]
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
