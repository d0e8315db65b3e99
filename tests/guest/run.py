#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs unit tests in a small virtual machine that has cgroups v2: `run.py INIT TEST[:FILTER]...`

The machine is Debian's kernel (of this release, fetched once as a package and unpacked, never
installed) with a root in memory: INIT, the tests and the libraries they need. Where qemu or the
kernel cannot be had the test prints "v2: not tested here" and counts as skipped.
"""
import gzip
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

SKIPPED = 77
CACHE = pathlib.Path(os.environ.get("THAW_IMAGE_CACHE", "/var/cache/thaw")) / "guest"
MACHINE = ["-machine", "pc,accel=tcg", "-cpu", "max", "-smp", "2", "-m", "1024"]
CONSOLE = ["-nographic", "-no-reboot", "-nodefaults", "-serial", "stdio"]
LIMIT_S = 540


def not_tested(why):
    print(f"v2: not tested here ({why})")
    sys.exit(SKIPPED)


def kernel_folder():
    """A folder with boot/vmlinuz-* and lib/modules of the release's kernel for virtual machines."""
    if list(CACHE.glob("boot/vmlinuz-*")):
        return CACHE
    shown = subprocess.run(
        ["apt-cache", "depends", "linux-image-cloud-amd64"], capture_output=True, text=True
    )
    package = re.search(r"Depends: (linux-image-\S+)", shown.stdout)
    if not package:
        not_tested("apt knows no linux-image-cloud-amd64")
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE.parent) as folder:
        command = ["apt-get", "-q", "download", package[1]]
        if subprocess.run(command, cwd=folder, capture_output=True).returncode != 0:
            not_tested(f"{package[1]} cannot be downloaded")
        archive = next(pathlib.Path(folder).glob("*.deb"))
        unpacked = pathlib.Path(folder) / "unpacked"
        subprocess.run(["dpkg-deb", "-x", archive, unpacked], check=True)
        if not CACHE.exists():
            unpacked.rename(CACHE)
    return CACHE


def libraries_of(program):
    listed = subprocess.run(["ldd", program], capture_output=True, text=True).stdout
    return re.findall(r"(/\S+) \(0x", listed)


def archive_entry(number, name, mode, data):
    """One file or folder of an initramfs ("newc" cpio)."""
    fields = [number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    return head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)


def initramfs(files):
    folders = {str(up) for path in files for up in pathlib.PurePath(path).parents}
    folders |= {"/tmp", "/proc", "/sys", "/sys/fs", "/sys/fs/cgroup", "/dev", "/run", "/etc"}
    entries = [(name.strip("/"), 0o040755, b"") for name in sorted(folders - {"/"})]
    entries += [(name.strip("/"), 0o100755, data) for name, data in files.items()]
    parts = [archive_entry(n, *entry) for n, entry in enumerate(entries, 1)]
    return gzip.compress(b"".join(parts) + archive_entry(0, "TRAILER!!!", 0, b""), 1)


def main(init, *tests):
    qemu = shutil.which("qemu-system-x86_64")
    if not qemu:
        not_tested("qemu-system-x86 is not installed")
    kernel = kernel_folder()
    files = {"/init": pathlib.Path(init).read_bytes()}
    commands = []
    for module in kernel.glob("lib/modules/*/kernel/fs/overlayfs/overlay.ko"):
        files["/overlay.ko"] = module.read_bytes()
    for test in tests:
        program, _, wanted = test.partition(":")
        is_test = pathlib.Path(program).name.endswith("_test")
        # A program that tests start has its path compiled in.
        path = f"/tests/{pathlib.Path(program).name}" if is_test else os.path.abspath(program)
        files[path] = pathlib.Path(program).read_bytes()
        for library in libraries_of(program):
            files[library] = pathlib.Path(library).read_bytes()
        if is_test:
            commands.append(f"{path}|-tc={wanted}" if wanted else path)
    files["/commands"] = "\n".join(commands + [""]).encode()
    with tempfile.NamedTemporaryFile() as root:
        root.write(initramfs(files))
        root.flush()
        image = sorted(kernel.glob("boot/vmlinuz-*"))[-1]
        command = [qemu, *MACHINE, *CONSOLE, "-kernel", str(image), "-initrd", root.name]
        command += ["-append", "console=ttyS0 quiet panic=-1 cgroup_no_v1=all"]
        try:
            done = subprocess.run(command, capture_output=True, timeout=LIMIT_S)
        except subprocess.TimeoutExpired as failure:
            print((failure.stdout or b"").decode(errors="replace"))
            sys.exit(f"the guest did not end in {LIMIT_S} s")
    text = done.stdout.decode(errors="replace")
    print(text, done.stderr.decode(errors="replace"))
    ends = re.findall(r"guest: \S+_test ended with (\d+)", text)
    fine = "guest: done" in text and ends == ["0"] * len(commands) and "cgroups v2" in text
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main(*sys.argv[1:])
