# SPDX-License-Identifier: Apache-2.0
"""Programs that change their user, as entry points, services and package managers do."""
import os
import pathlib
import pwd
import shlex
import subprocess

import modal

app = modal.App("e2e-users")
image = modal.Image.debian_slim().apt_install("nginx-light")

POSTINST = "#!/bin/sh\nchown www-data:www-data /opt/parcel && chmod 2755 /opt/parcel\n"


def said(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, **options)
    return (done.stdout + done.stderr).strip()


def install_package():
    """A package with a script, through apt, which works as a user of its own."""
    folder = pathlib.Path("/tmp/parcel")
    (folder / "DEBIAN").mkdir(parents=True)
    (folder / "DEBIAN/control").write_text(
        "Package: parcel\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.com>\n"
        "Description: x\n")
    (folder / "DEBIAN/postinst").write_text(POSTINST)
    (folder / "DEBIAN/postinst").chmod(0o755)
    (folder / "opt/parcel").mkdir(parents=True)
    said("dpkg-deb", "--build", "--root-owner-group", str(folder), "/tmp/parcel.deb")
    log = said("apt-get", "install", "-y", "/tmp/parcel.deb")
    status = os.stat("/opt/parcel") if os.path.exists("/opt/parcel") else None
    return (pwd.getpwuid(status.st_uid).pw_name, oct(status.st_mode & 0o7777)) if status else log


@app.function(image=image)
def change_users():
    return {
        "su": said("su", "-s", "/bin/sh", "www-data", "-c", "id -un"),
        "setpriv": said("setpriv", "--reuid=33", "--regid=33", "--clear-groups", "id", "-un"),
        "subprocess": said("id", "-un", user="www-data", group="www-data"),
        "useradd": said("sh", "-c", "useradd -m ann && su ann -c 'touch ~/it && stat -c %U ~/it'"),
        "chroot": said("chroot", "--userspec=33:33", "/", "id", "-un"),
        "apt": install_package(),
    }


@app.function(image=image)
def whose():
    """First id of this container on the machine, and how many there are."""
    return [int(word) for word in pathlib.Path("/proc/self/uid_map").read_text().split()[1:]]


@app.function(image=image)
@modal.web_server(80, startup_timeout=60)
def site():
    subprocess.Popen(["nginx", "-g", "daemon off;"])


# As entry points of official images do: once more, as another user.
ENTRY = [
    "#!/bin/sh",
    '[ "$(id -u)" != 0 ] || exec setpriv --reuid=33 --regid=33 --clear-groups "$0" "$@"',
    "export ENTERED_AS=$(id -un)",
    'exec "$@"',
]
dropping = (
    modal.Image.debian_slim()
    .run_commands(f"printf '%s\\n' {shlex.join(ENTRY)} > /entry && chmod 755 /entry")
    .entrypoint(["/entry"])
)


def who():
    return [pwd.getpwuid(os.getuid()).pw_name, os.environ.get("ENTERED_AS")]


@app.function(image=dropping)
def dropped(number):
    print("printed by", who()[0])
    return [number * number, *who()]


@app.function(image=dropping)
def dropped_counts(upto):
    yield from range(upto)


@app.cls(image=dropping, enable_memory_snapshot=True, scaledown_window=2)
class Dropped:
    @modal.enter(snap=True)
    def born(self):
        self.born = os.urandom(8).hex()

    @modal.method()
    def tell(self):
        return [self.born, *who()]


@app.function(image=image)
def modes():
    """Of what the container shares with its server, and of the folder that it is in."""
    return {path: oct(os.stat(path).st_mode & 0o7777)
            for path in ("/run/thaw", "/run/thaw/api.sock", "/run/thaw-start")}


@app.local_entrypoint()
def tell_ids():
    print("ids", *whose.remote())
