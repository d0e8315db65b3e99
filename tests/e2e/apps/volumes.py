# SPDX-License-Identifier: Apache-2.0
"""Functions that read and write volumes."""
import mmap
import os
import pathlib
import subprocess
import time

import modal

app = modal.App("e2e-volumes")

data = modal.Volume.from_name("e2e-data", create_if_missing=True)
first = modal.Volume.from_name("e2e-first", create_if_missing=True, version=1)
gone = modal.Volume.from_name("e2e-gone", create_if_missing=True)
DATA = pathlib.Path("/data")


@app.function(volumes={DATA: data})
def write(name, text):
    path = DATA / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    data.commit()


@app.function(volumes={DATA: data})
def write_without_commit(name, text):
    (DATA / name).write_text(text)


@app.function(volumes={"/elsewhere/deep": data})
def read(name):
    data.reload()
    return pathlib.Path("/elsewhere/deep", name).read_text()


@app.function(volumes={DATA: data.with_mount_options(read_only=True)})
def try_to_write_read_only():
    found = {"read": (DATA / "seen.txt").read_text()}
    (by_id,) = pathlib.Path("/__modal/volumes").iterdir()
    for place in (DATA, by_id):
        try:
            (place / "x").write_text("x")
            found[str(place)[:5]] = "written"
        except OSError as error:
            found[str(place)[:5]] = error.errno
    mount = subprocess.run(["mount", "-o", "remount,rw", "/data"], capture_output=True)
    found["remount"] = mount.returncode
    return found


@app.function(volumes={"/users": data.with_mount_options(sub_path="users/ann")})
def in_sub_path():
    pathlib.Path("/users/note").write_text("ann's")
    os.symlink("../../seen.txt", "/users/up")
    return {
        "names": sorted(os.listdir("/users")),
        "up": os.path.exists("/users/up"),
        "all": os.path.exists("/__modal/volumes"),
    }


@app.function(volumes={DATA: data})
def reload_with_open_file():
    (DATA / "held.txt").write_text("held")
    said = []
    for path in (DATA / "held.txt", pathlib.Path("/__modal/volumes", data.object_id, "held.txt")):
        with open(path):
            data.commit()  # does not mind
            try:
                data.reload()
                said.append("reloaded")
            except RuntimeError as error:
                said.append(str(error))
    os.chdir(DATA)
    try:
        data.reload()
        said.append("reloaded")
    except RuntimeError as error:
        said.append(str(error))
    os.chdir("/")
    data.reload()
    return said


@app.function(volumes={DATA: data})
def through_the_client():
    """The API, from inside, also for a volume that is not mounted."""
    with data.batch_upload(force=True) as batch:
        batch.put_file(DATA / "seen.txt", "from-inside.txt")
    other = modal.Volume.from_name("e2e-from-inside", create_if_missing=True)
    other.hydrate()
    try:
        other.commit()
        commit = "committed"
    except RuntimeError as error:
        commit = str(error)
    return {
        "copy": b"".join(data.read_file("from-inside.txt")).decode(),
        "listed": [entry.path for entry in data.listdir("/")],
        "commit": commit,
    }


@app.function(volumes={DATA: data})
def has_special_files():
    """What a hostile tenant leaves behind."""
    os.makedirs(DATA / "odd", exist_ok=True)
    os.chdir(DATA / "odd")
    os.mkfifo("fifo")
    os.symlink("/etc/passwd", "outside")
    os.symlink("../../../../../../../etc/passwd", "up")
    os.symlink("/proc/self/root", "magic")
    pathlib.Path("new\nline").write_text("two lines")
    with open(b"\xff\xfe", "w") as file:
        file.write("not text")
    refused = []
    for make in (
        lambda: os.mknod("disk", 0o60600, os.makedev(8, 0)),
        lambda: os.mknod("null", 0o20666, os.makedev(1, 3)),
    ):
        try:
            make()
            os.close(os.open("null", os.O_RDONLY))
            refused.append("opened")
        except OSError:
            refused.append("refused")
    return refused


@app.function(volumes={DATA: data}, scaledown_window=120)
def map_weights(seconds):
    """Maps the file, reads all of it, stays for a while."""
    with open(DATA / "weights.bin", "rb") as file:
        weights = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    total = sum(weights[at] for at in range(0, len(weights), 4096))
    print("mapped", flush=True)
    time.sleep(seconds)
    return total


@app.function(volumes={DATA: data}, scaledown_window=120)
def hold(seconds):
    print("holding", flush=True)
    time.sleep(seconds)
    return os.listdir(DATA)


@app.function(volumes={"/gone": gone})
def see_it_go():
    pathlib.Path("/gone/here").touch()
    deadline = time.monotonic() + 100
    while os.listdir("/gone") and time.monotonic() < deadline:
        time.sleep(0.1)
    return os.listdir("/gone")


@app.function(volumes={"/gone": gone})
def needs_it():
    return os.listdir("/gone")


@app.function(volumes={DATA: data}, max_containers=6)
def write_both(name):
    """All write one file of their own and one that they share."""
    (DATA / "many" / name).write_text(name * 1000)
    (DATA / "shared.txt").write_text(name * 1000)
    data.commit()


@app.function(volumes={"/first": first})
def first_format():
    return pathlib.Path("/first/folder/top.txt").read_text()


@app.function(volumes={DATA: data})
def write_and_wait_to_be_killed(name, text):
    if (DATA / name).exists():
        return os.environ["MODAL_TASK_ID"], (DATA / name).read_text()
    (DATA / name).write_text(text)
    data.commit()
    print("committed", flush=True)
    time.sleep(600)


@app.cls(volumes={DATA: data})
class Holder:
    @modal.enter()
    def begin(self):
        self.text = (DATA / "seen.txt").read_text()

    @modal.method()
    def get(self):
        return self.text


@app.function(volumes={DATA: data}, image=modal.Image.debian_slim(python_version="3.11"))
@modal.wsgi_app()
def web():
    def answer(environ, start_response):
        start_response("200 OK", [("content-type", "text/plain")])
        return [(DATA / "seen.txt").read_bytes()]

    return answer
