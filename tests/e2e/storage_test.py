#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bytes on disk: whose they are, how many one workspace may have, and when they go."""
import base64
import errno
import hashlib
import io
import json
import os
import pathlib
import shutil
import tempfile
import threading
import time
import urllib.error
import urllib.request

from thaw_server import APPS, CALL_TIMEOUT, E2eTest, ThawServer, deploy, main, wait_until

QUOTA_MB = 160
server = ThawServer.for_module(
    config=f"""
[storage]
sweep_every_s = 1
look_every_s = 1
keep_unused_s = 3
keep_unused_mounts_s = 15
[limits]
workspace_disk_gb = {QUOTA_MB / 1024}
container_disk_gb = 0.1
[catalog]
keep_stopped_s = 5
""",
)

import grpclib  # noqa: E402
import modal  # noqa: E402
from modal_proto import api_pb2  # noqa: E402

PARCEL = pathlib.Path(tempfile.mkdtemp(prefix="thaw-e2e-parcel-"))
OTHER = {}  # the token of a second workspace


def add_workspace():
    def ask(*arguments):
        done = server.thaw(*arguments, "--json", "--data", str(server.data))
        return json.loads(done.stdout)

    ask("workspace", "create", "other")
    made = ask("token", "create", "other", "--workspace", "other")
    OTHER.update(MODAL_TOKEN_ID=made["token"], MODAL_TOKEN_SECRET=made["secret"])


def function(name):
    return modal.Function.from_name("e2e-storage", name)


def bytes_in(folder):
    """As the disk counts them: blocks, each file once."""
    seen = {}
    for path in (server.data / folder).rglob("*"):
        try:
            status = path.lstat()
        except OSError:
            continue
        seen[status.st_ino] = status.st_blocks * 512
    return sum(seen.values())


def as_other(name, request):
    own = server.client_environment
    server.client_environment = lambda: {**own(), **OTHER}
    try:
        return server.rpc(name, request)
    finally:
        server.client_environment = own


def code_of(name, request, ask=as_other):
    try:
        ask(name, request)
    except grpclib.exceptions.GRPCError as error:
        return error.status.name, error.message
    return "OK", ""


def upload(data, ask):
    request = api_pb2.BlobCreateRequest(
        content_sha256_base64=base64.b64encode(hashlib.sha256(data).digest()).decode(),
        content_length=len(data),
    )
    answer = ask("BlobCreate", request)
    put = urllib.request.Request(answer.upload_url, data=data, method="PUT")
    urllib.request.urlopen(put, timeout=CALL_TIMEOUT).read()
    return answer.blob_id


def setUpModule():
    (PARCEL / "text").write_text("first")
    (PARCEL / "large").write_bytes(os.urandom(4 << 20))
    add_workspace()
    deploy(server, "storage.py", env={"E2E_PARCEL": str(PARCEL)})


def tearDownModule():
    shutil.rmtree(PARCEL, ignore_errors=True)


class Owners(E2eTest):
    server = server

    def test_what_one_workspace_has_sent_is_not_there_for_another(self):
        data = os.urandom(100_000)
        digest = hashlib.sha256(data).hexdigest()
        blob = upload(data, server.rpc)
        get = api_pb2.BlobGetRequest(blob_id=blob)
        self.assertIn("/blobs/", server.rpc("BlobGet", get).download_url)
        nobodys = api_pb2.BlobGetRequest(blob_id="bl-" + "0" * 64)
        status, text = code_of("BlobGet", get)
        self.assertEqual(status, "NOT_FOUND")
        unknown = code_of("BlobGet", nobodys)
        self.assertEqual(unknown, (status, text.replace(digest, "0" * 64)))
        exist = api_pb2.MountBatchedCheckExistenceRequest(sha256_hex_hashes=[digest])
        ask = "MountBatchedCheckExistence"
        self.assertEqual(list(server.rpc(ask, exist).missing_sha256_hex_hashes), [])
        self.assertEqual(list(as_other(ask, exist).missing_sha256_hex_hashes), [digest])
        put = api_pb2.MountPutFileRequest(sha256_hex=digest)
        self.assertTrue(server.rpc("MountPutFile", put).exists)
        self.assertFalse(as_other("MountPutFile", put).exists)
        named = api_pb2.MountPutFileRequest(sha256_hex=digest, data_blob_id=blob)
        self.assertEqual(code_of("MountPutFile", named)[0], "INVALID_ARGUMENT")
        mount = api_pb2.MountGetOrCreateRequest(
            object_creation_type=api_pb2.OBJECT_CREATION_TYPE_ANONYMOUS_OWNED_BY_APP,
            files=[api_pb2.MountFile(filename="/x", sha256_hex=digest, size=len(data))],
        )
        self.assertEqual(code_of("MountGetOrCreate", mount)[0], "FAILED_PRECONDITION")
        volume = as_other(
            "VolumeGetOrCreate",
            api_pb2.VolumeGetOrCreateRequest(
                deployment_name="others",
                object_creation_type=api_pb2.OBJECT_CREATION_TYPE_CREATE_IF_MISSING,
                version=api_pb2.VOLUME_FS_VERSION_V1,
            ),
        ).volume_id  # fmt: skip
        files = api_pb2.VolumePutFilesRequest(
            volume_id=volume,
            files=[api_pb2.MountFile(filename="/x", sha256_hex=digest, size=len(data))],
        )
        self.assertEqual(code_of("VolumePutFiles", files)[0], "FAILED_PRECONDITION")
        # Who sends the bytes has them too.
        self.assertEqual(upload(data, as_other), blob)
        url = as_other("BlobGet", get).download_url
        self.assertEqual(urllib.request.urlopen(url, timeout=CALL_TIMEOUT).read(), data)
        self.assertTrue(as_other("MountGetOrCreate", mount).mount_id.startswith("mo-"))

    def test_an_address_is_for_one_workspace_and_cannot_be_turned(self):
        blob = upload(b"signed" * 1000, server.rpc)
        url = server.rpc("BlobGet", api_pb2.BlobGetRequest(blob_id=blob)).download_url
        self.assertIn("for=ac-default", url)
        turned = url.replace("for=ac-default", "for=ac-somebody")
        with self.assertRaises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(turned, timeout=CALL_TIMEOUT)
        self.assertEqual(refused.exception.code, 403)

    def test_mounts_and_builds_of_another_workspace_are_not_there(self):
        data = b"of the first workspace"
        digest = hashlib.sha256(data).hexdigest()
        server.rpc("MountPutFile", api_pb2.MountPutFileRequest(sha256_hex=digest, data=data))
        mount = server.rpc(
            "MountGetOrCreate",
            api_pb2.MountGetOrCreateRequest(
                deployment_name="shared-name",
                object_creation_type=api_pb2.OBJECT_CREATION_TYPE_CREATE_IF_MISSING,
                files=[api_pb2.MountFile(filename="/x", sha256_hex=digest, size=len(data))],
            ),
        ).mount_id
        named = api_pb2.MountGetOrCreateRequest(deployment_name="shared-name")
        self.assertEqual(server.rpc("MountGetOrCreate", named).mount_id, mount)
        self.assertEqual(code_of("MountGetOrCreate", named)[0], "NOT_FOUND")
        build = api_pb2.ImageGetOrCreateRequest(
            image=api_pb2.Image(
                dockerfile_commands=["FROM python:3.11-slim-bookworm", "COPY . /"],
                context_mount_id=mount,
            ),
            builder_version="2025.06",
        )
        self.assertEqual(code_of("ImageGetOrCreate", build)[0], "NOT_FOUND")
        image = server.rpc("ImageGetOrCreate", build).image_id
        join = api_pb2.ImageJoinStreamingRequest(image_id=image, timeout=1)
        self.assertEqual(self.join(join, OTHER), "NOT_FOUND")
        self.assertEqual(self.join(join, {}), "OK")

    @staticmethod
    def join(request, token):
        import asyncio

        import grpclib.client
        import modal_proto.api_grpc

        variables = {**server.client_environment(), **token}
        metadata = {
            "x-modal-token-id": variables["MODAL_TOKEN_ID"],
            "x-modal-token-secret": variables["MODAL_TOKEN_SECRET"],
        }

        async def ask():
            host, port = server.address.split(":")
            async with grpclib.client.Channel(host, int(port)) as channel:
                stub = modal_proto.api_grpc.ModalClientStub(channel)
                async with stub.ImageJoinStreaming.open(metadata=metadata) as stream:
                    await stream.send_message(request, end=True)
                    await stream.recv_message()

        try:
            asyncio.run(ask())
        except grpclib.exceptions.GRPCError as error:
            return error.status.name
        return "OK"


class Ends(E2eTest):
    server = server

    def test_large_arguments_and_results_go_once_they_are_read(self):
        before = bytes_in("blobs")
        for _ in range(2):
            self.assertEqual(len(function("give").remote(20 << 20)), 20 << 20)
        self.assertEqual(function("take").remote(os.urandom(20 << 20)), 20 << 20)
        self.assertGreater(bytes_in("blobs"), before + (20 << 20))
        wait_until(lambda: bytes_in("blobs") < before + (1 << 20), 90, "calls' blobs are gone")

    def test_a_result_that_may_still_be_read_stays_over_a_kill_and_sweeps(self):
        call = function("give").spawn(5 << 20)
        size = len(call.get(timeout=CALL_TIMEOUT))
        server.kill()
        server.start().use()
        time.sleep(8)  # several sweeps, past the time that unused blobs are kept
        self.assertEqual(len(modal.FunctionCall.from_id(call.object_id).get(timeout=60)), size)
        self.assertEqual(function("parcel").remote(), "first")

    def test_files_of_a_function_are_on_disk_once_and_go_with_it(self):
        self.assertEqual(function("parcel").remote(), "first")
        together = {path.lstat().st_ino for path in (server.data / "mounts").rglob("large")}
        blobs = {path.lstat().st_ino for path in (server.data / "blobs").rglob("*")}
        self.assertTrue(together and together <= blobs)
        other = pathlib.Path(tempfile.mkdtemp(prefix="thaw-e2e-parcel-"))
        try:
            (other / "text").write_text("second")
            deploy(server, "storage.py", env={"E2E_PARCEL": str(other)})
            self.assertEqual(function("parcel").remote(), "second")
            # A rollback would need those of the version before; a stopped app has none.
            server.modal("app", "stop", "--yes", "e2e-storage")
            def is_gone():
                return not list((server.data / "mounts").rglob("large"))
            wait_until(is_gone, 90, "the files of the old version are gone")
        finally:
            shutil.rmtree(other)
            deploy(server, "storage.py", env={"E2E_PARCEL": str(PARCEL)})

    def test_strays_of_a_killed_server_go(self):
        shelf = server.data / "blobs" / "ab"
        shelf.mkdir(exist_ok=True)
        stray = shelf / ("c" * 62)
        stray.write_bytes(b"of a server that was killed")
        (server.data / "blobs" / "tmp" / "9").write_bytes(b"half")
        server.kill()
        server.start().use()
        wait_until(lambda: not stray.exists(), 30, "the stray is gone")
        self.assertEqual(list((server.data / "blobs" / "tmp").iterdir()), [])


class HugeNumbers(E2eTest):
    """What costs its user nothing must not cost the server much."""

    server = server

    def test_a_huge_sparse_file_stops_nobody(self):
        name = "huge"
        self.assertLess(function("make_sparse").remote(name, 15 << 40), 100)
        volume = modal.Volume.from_name("e2e-storage").hydrate()
        get = api_pb2.VolumeGetFile2Request(volume_id=volume.object_id, path=name)
        status, text = code_of("VolumeGetFile2", get, server.rpc)
        self.assertEqual(status, "INVALID_ARGUMENT")
        self.assertIn("1024 GiB", text)
        get.start, get.len = 7 << 40, 20 << 20
        self.assertEqual(len(server.rpc("VolumeGetFile2", get).get_urls), 3)
        # The same file copied: nothing is written, and nobody waits.
        failures = []

        def copy(number):
            try:
                volume.copy_files([name], f"copy-{number}")
            except Exception as error:
                failures.append(error)

        copies = [threading.Thread(target=copy, args=(number,)) for number in range(4)]
        for thread in copies:
            thread.start()
        self.assertIn(name, [entry.path for entry in volume.listdir("/")])
        for thread in copies:
            thread.join(CALL_TIMEOUT)
        self.assertEqual(failures, [])
        size, blocks = function("blocks_of").remote("copy-3")
        self.assertEqual(size, 15 << 40)
        self.assertLess(blocks, 100)
        volume.remove_file(name)

    def test_requests_about_very_many_things_are_refused_with_the_limit(self):
        many = ["0" * 64] * 50_001
        files = [api_pb2.MountFile(filename="/x", sha256_hex=many[0])] * len(many)
        anonymous = api_pb2.OBJECT_CREATION_TYPE_ANONYMOUS_OWNED_BY_APP
        requests = {
            "MountBatchedCheckExistence": api_pb2.MountBatchedCheckExistenceRequest(
                sha256_hex_hashes=many
            ),
            "MountGetOrCreate": api_pb2.MountGetOrCreateRequest(
                object_creation_type=anonymous, files=files
            ),
        }
        for name, request in requests.items():
            status, text = code_of(name, request, server.rpc)
            self.assertEqual(status, "INVALID_ARGUMENT")
            self.assertIn("50000 files", text)
        volume = modal.Volume.from_name("e2e-storage").hydrate()
        copy = api_pb2.VolumeCopyFiles2Request(
            volume_id=volume.object_id, src_paths=["a"] * 10_001, dst_path="b"
        )
        self.assertIn("10000 paths", code_of("VolumeCopyFiles2", copy, server.rpc)[1])
        blocks = [api_pb2.VolumePutFiles2Request.Block(contents_sha256=b"0" * 32)] * 140_000
        file = api_pb2.VolumePutFiles2Request.File(path="x", size=140_000 << 23, blocks=blocks)
        put = api_pb2.VolumePutFiles2Request(volume_id=volume.object_id, files=[file])
        self.assertIn("131072", code_of("VolumePutFiles2", put, server.rpc)[1])


class Quotas(E2eTest):
    """One workspace takes what it may have, is told so, and the other one goes on."""

    server = server

    def test_blobs_and_uploads_past_the_quota_are_refused_with_the_limit(self):
        request = api_pb2.BlobCreateRequest(
            content_sha256_base64=base64.b64encode(b"0" * 32).decode(),
            content_length=(QUOTA_MB + 1) << 20,
        )
        for ask in (server.rpc, as_other):
            status, text = code_of("BlobCreate", request, ask)
            self.assertEqual(status, "RESOURCE_EXHAUSTED")
            self.assertIn(f"{QUOTA_MB} MiB", text)
            self.assertIn("workspace_disk_gb", text)
        with self.assertRaisesRegex(Exception, "workspace_disk_gb|No space"):
            with modal.Volume.from_name("e2e-storage").batch_upload(force=True) as batch:
                batch.put_file(io.BytesIO(os.urandom(QUOTA_MB << 20)), "large")

    def test_a_container_that_fills_its_root_is_ended_and_told(self):
        self.assertEqual(function("modest").remote(), "here")
        with self.assertRaisesRegex(Exception, "container_disk_gb"):
            function("fill_root").remote(150, 60)
        # Nothing of it is left.
        wait_until(lambda: bytes_in("sandboxes") < 50 << 20, 30, "its root is gone")

    def test_a_volume_past_the_quota_is_read_only_until_files_are_removed(self):
        with self.assertRaisesRegex(Exception, "workspace_disk_gb"):
            function("fill_volume").remote(QUOTA_MB + 50, 60)
        wait_until(lambda: function("try_to_write").remote() == errno.EROFS, 30, "it is read-only")
        self.assertTrue(upload(os.urandom(1 << 20), as_other))
        metrics = urllib.request.urlopen(server.url + "/metrics", timeout=30).read().decode()
        self.assertIn('thaw_disk_bytes{workspace="ac-default",kind="volumes"}', metrics)
        for name in ("sweeps", "sweep_failures", "removed_blobs", "removed_bytes",
                     "removed_mounts"):  # fmt: skip
            self.assertRegex(metrics, rf"(?m)^thaw_storage_{name}_total \d")
        volume = modal.Volume.from_name("e2e-storage")
        for entry in volume.listdir("/"):
            volume.remove_file(entry.path, recursive=True)
        wait_until(lambda: function("try_to_write").remote() == 0, 60, "it takes files again", 1)


if __name__ == "__main__":
    main()
