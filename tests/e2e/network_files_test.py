#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Network file systems: in functions, by the API, by the command line; and files of volumes as
older clients read them. Each client that has them is asked."""
import functools
import os
import pathlib
import re
import tempfile

from older_clients import client
from thaw_server import E2eTest, ThawServer, main, wait_until

server = ThawServer.for_module(config="[volumes]\nephemeral_timeout_s = 3\n")

from modal_proto import api_pb2 as pb  # noqa: E402

folder = pathlib.Path(tempfile.mkdtemp(prefix="thaw-network-files-"))
LARGE = 20 << 20
(folder / "large.bin").write_bytes(os.urandom(LARGE))
(folder / "tree" / "inner").mkdir(parents=True)
(folder / "tree" / "a.txt").write_text("a")
(folder / "tree" / "inner" / "b.txt").write_text("bb")

API = """
import hashlib, io, pathlib, sys, warnings
warnings.simplefilter("ignore")
import modal
NFS = modal.NetworkFileSystem
name, folder = sys.argv[1], pathlib.Path(sys.argv[2])
nfs = NFS.from_name(name, create_if_missing=True)
nfs.hydrate() if hasattr(nfs, "hydrate") else nfs.resolve() if hasattr(nfs, "resolve") else None
nfs.write_file("/small.txt", io.BytesIO(b"small"))
nfs.add_local_file(folder / "large.bin", "/deep/large.bin")
nfs.add_local_dir(folder / "tree", "/tree")
print("small", b"".join(nfs.read_file("small.txt")))
whole = b"".join(nfs.read_file("/deep/large.bin"))
print("large", len(whole), hashlib.sha256(whole).hexdigest())
print("top", sorted((e.path, e.type.name) for e in nfs.listdir("/")))
print("stars", sorted(e.path for e in nfs.listdir("/tree/**/*.txt")))
print("alone", [(e.path, e.size) for e in nfs.listdir("tree/inner/b.txt")])
nfs.remove_file("/tree", recursive=True)
print("left", sorted(e.path for e in nfs.listdir("/")))
for path in ("absent", "deep"):
    try:
        list(nfs.read_file(path))
    except Exception as error:
        print(path, type(error).__name__)
with NFS.ephemeral() as own:
    own.write_file("x", io.BytesIO(b"y"))
    print("ephemeral", [e.path for e in own.listdir("/")])
"""

VOLUME = """
import hashlib, io, pathlib, sys
import modal
folder = pathlib.Path(sys.argv[2])
for version in (None, 1):
    kind = {} if version is None else {"version": version}
    volume = modal.Volume.lookup(f"e2e-{sys.argv[1]}-{version}", create_if_missing=True, **kind)
    with volume.batch_upload() as batch:
        batch.put_file(io.BytesIO(b"small"), "/small.txt")
        batch.put_file(folder / "large.bin", "/deep/large.bin")
        batch.put_directory(folder / "tree", "/tree")
    print("small", b"".join(volume.read_file("small.txt")))
    whole = b"".join(volume.read_file("deep/large.bin"))
    print("large", len(whole), hashlib.sha256(whole).hexdigest())
    into = io.BytesIO()
    volume.read_file_into_fileobj("deep/large.bin", into)
    print("pieces", hashlib.sha256(into.getvalue()).hexdigest())
    print("list", sorted(e.path for e in volume.listdir("/", recursive=True)))
    try:
        with volume.batch_upload() as batch:
            batch.put_file(io.BytesIO(b"other"), "/small.txt")
    except FileExistsError as error:
        print("exists")
    with volume.batch_upload(force=True) as batch:
        batch.put_file(io.BytesIO(b"other"), "/small.txt")
    volume.copy_files(["small.txt"], "copy.txt")
    print("copy", b"".join(volume.read_file("copy.txt")))
    volume.remove_file("tree", recursive=True)
    print("left", sorted(e.path for e in volume.listdir("/")))
    try:
        list(volume.read_file("absent"))
    except FileNotFoundError:
        print("absent")
"""


def digest():
    import hashlib

    return hashlib.sha256((folder / "large.bin").read_bytes()).hexdigest()


class NetworkFiles(E2eTest):
    server = server

    def check_api(self, listing, name):
        shown = client(listing).python(server, API, name, folder).stdout
        for line in (
            "small b'small'",
            f"large {LARGE} {digest()}",
            "top [('deep', 'DIRECTORY'), ('small.txt', 'FILE'), ('tree', 'DIRECTORY')]",
            "stars ['tree/a.txt', 'tree/inner/b.txt']",
            "alone [('tree/inner/b.txt', 2)]",
            "left ['deep', 'small.txt']",
            "absent FileNotFoundError",
            "ephemeral ['x']",
        ):
            self.assertIn(line, shown)
        self.assertRegex(shown, r"(?m)^deep \w+")

    def test_the_pinned_client(self):
        self.check_api("modal.txt", "e2e-by-new")

    def test_a_client_of_1_0(self):
        self.check_api("modal-1.0.txt", "e2e-by-1-0")

    def test_a_client_of_0_64(self):
        self.check_api("modal-0.64.txt", "e2e-by-0-64")

    def test_what_one_container_writes_another_sees_at_once(self):
        for listing in ("modal.txt", "modal-0.64.txt"):
            with self.subTest(listing):
                shown = client(listing).modal(server, "run", "network_files.py").stdout
                self.assertIn("written []", shown)
                self.assertIn("read from a container", shown)
                self.assertIn("kept in a volume True", shown)

    def test_by_the_command_line(self):
        modal = functools.partial(client("modal-0.77.txt").modal, server)
        modal("nfs", "create", "e2e-cli")
        self.assertNotEqual(modal("nfs", "create", "e2e-cli", check=False).returncode, 0)
        modal("nfs", "put", "e2e-cli", folder / "tree", "/tree")
        modal("nfs", "put", "e2e-cli", folder / "large.bin", "/")
        self.assertEqual(
            sorted(modal("nfs", "ls", "e2e-cli").stdout.split()), ["large.bin", "tree"]
        )
        into = folder / "back"
        into.mkdir()
        modal("nfs", "get", "e2e-cli", "**", into)
        self.assertEqual((into / "tree" / "inner" / "b.txt").read_text(), "bb")
        self.assertEqual((into / "large.bin").read_bytes(), (folder / "large.bin").read_bytes())
        modal("nfs", "rm", "-r", "e2e-cli", "tree")
        self.assertEqual(modal("nfs", "ls", "e2e-cli").stdout.split(), ["large.bin"])
        self.assertIn("e2e-cli", modal("nfs", "list", "--json").stdout)
        self.assertNotIn("e2e-cli", modal("volume", "list", "--json").stdout)
        modal("nfs", "delete", "--yes", "e2e-cli")
        self.assertNotIn("e2e-cli", modal("nfs", "list", "--json").stdout)

    def test_an_ephemeral_one_ends_with_its_client(self):
        made = server.rpc(
            "SharedVolumeGetOrCreate",
            pb.SharedVolumeGetOrCreateRequest(
                object_creation_type=pb.OBJECT_CREATION_TYPE_EPHEMERAL
            ),
        )
        place = server.data / "volumes" / made.shared_volume_id
        self.assertTrue(place.exists())
        wait_until(lambda: not place.exists(), 60, "its folder is removed")

    def test_a_volume_and_a_network_file_system_of_one_name_are_two(self):
        volume = server.rpc(
            "VolumeGetOrCreate",
            pb.VolumeGetOrCreateRequest(deployment_name="e2e-both", object_creation_type=1),
        )
        shared = server.rpc(
            "SharedVolumeGetOrCreate",
            pb.SharedVolumeGetOrCreateRequest(deployment_name="e2e-both", object_creation_type=1),
        )
        self.assertRegex(volume.volume_id, "^vo-")
        self.assertRegex(shared.shared_volume_id, "^sv-")
        import grpclib

        with self.assertRaisesRegex(grpclib.GRPCError, "is no volume"):
            server.rpc("VolumeDelete", pb.VolumeDeleteRequest(volume_id=shared.shared_volume_id))
        with self.assertRaisesRegex(grpclib.GRPCError, "is no network file system"):
            server.rpc(
                "SharedVolumeDelete",
                pb.SharedVolumeDeleteRequest(shared_volume_id=volume.volume_id),
            )


class OlderVolumes(E2eTest):
    server = server

    def check(self, listing):
        shown = client(listing).python(server, VOLUME, re.sub(r"\D", "", listing), folder).stdout
        for line in (
            "small b'small'",
            f"large {LARGE} {digest()}",
            f"pieces {digest()}",
            "list ['deep', 'deep/large.bin', 'small.txt', 'tree', 'tree/a.txt', 'tree/inner', "
            "'tree/inner/b.txt']",
            "exists",
            "copy b'other'",
            "left ['copy.txt', 'deep', 'small.txt']",
            "absent",
        ):
            self.assertEqual(shown.count(line), 2, f"{line}\n{shown}")

    def test_a_client_of_0_64(self):
        self.check("modal-0.64.txt")

    def test_a_client_of_0_77(self):
        self.check("modal-0.77.txt")


if __name__ == "__main__":
    main()
