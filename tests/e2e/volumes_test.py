#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Volumes: mounted in functions, by the command line, by the API; what hostile ones may do."""
import array
import hashlib
import io
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time
import urllib.request

from thaw_server import (
    APPS, CALL_TIMEOUT, E2eTest, ThawServer, deploy, descendants_of, environment_of, main,
    wait_until,
)  # fmt: skip

server = ThawServer.for_module(config="[volumes]\nephemeral_timeout_s = 3\n")

import modal  # noqa: E402

BLOCK = 8 << 20


def function(name):
    return modal.Function.from_name("e2e-volumes", name)


def volume(name="e2e-data"):
    return modal.Volume.from_name(name)


def cli(*arguments, **options):
    return server.modal("volume", *arguments, **options)


def content_of(name, path):
    return b"".join(volume(name).read_file(path))


def put(name, path, content, force=True):
    with volume(name).batch_upload(force=force) as batch:
        batch.put_file(io.BytesIO(content), path)


def frames_of(pid, path):
    """Physical page numbers of what the process has mapped of the file; 0 for an absent page."""
    try:
        maps = pathlib.Path(f"/proc/{pid}/maps").read_text()
        found = re.search(rf"^(\w+)-(\w+) .* {re.escape(path)}$", maps, re.MULTILINE)
        if not found:
            return []
        begin, end = (int(address, 16) // 4096 for address in found.groups())
        with open(f"/proc/{pid}/pagemap", "rb") as file:
            file.seek(begin * 8)
            entries = array.array("Q", file.read((end - begin) * 8))
    except OSError:
        return []
    return [entry & ((1 << 55) - 1) if entry >> 63 else 0 for entry in entries]


def new_volume(name):
    modal.Volume.objects.create(name)
    return name


def host_folder(name):
    return server.data / "volumes" / volume(name).hydrate().object_id / "files"


def setUpModule():
    deploy(server, "volumes.py")
    function("write").remote("seen.txt", "seen")


class InFunctions(E2eTest):
    server = server

    def test_what_one_function_commits_another_reads_and_the_command_line_sees(self):
        function("write").remote("deep/er/note.txt", "committed")
        self.assertEqual(function("read").remote("deep/er/note.txt"), "committed")
        self.assertIn("deep/er/note.txt", cli("ls", "e2e-data", "deep/er").stdout)

    def test_what_was_not_committed_is_committed_when_the_container_ends(self):
        function("write_without_commit").remote("late.txt", "late")
        self.assertEqual(content_of("e2e-data", "late.txt"), b"late")

    def test_a_read_only_volume_is_read_only(self):
        found = function("try_to_write_read_only").remote()
        self.assertEqual(found["read"], "seen")
        self.assertEqual(found["/data"], 30)  # EROFS
        self.assertEqual(found["/__mo"], 30)
        self.assertNotEqual(found["remount"], 0)

    def test_a_sub_path_is_made_and_the_rest_is_out_of_reach(self):
        found = function("in_sub_path").remote()
        self.assertEqual(found["names"], ["note", "up"])
        self.assertFalse(found["up"])
        self.assertFalse(found["all"])
        self.assertEqual(content_of("e2e-data", "users/ann/note"), b"ann's")

    def test_reload_is_refused_while_a_file_is_open_and_names_it(self):
        by_path, by_id, cwd = function("reload_with_open_file").remote()
        self.assertIn("there are open files preventing the operation", by_path)
        self.assertIn("held.txt", by_path)
        self.assertIn("path held.txt is open", by_id)
        self.assertIn("cwd", cwd)

    def test_the_api_works_inside_of_a_function(self):
        found = function("through_the_client").remote()
        self.assertEqual(found["copy"], "seen")
        self.assertIn("from-inside.txt", found["listed"])
        self.assertIn("not mounted here", found["commit"])

    def test_classes_and_web_functions_have_their_volumes(self):
        holder = modal.Cls.from_name("e2e-volumes", "Holder")
        self.assertEqual(holder().get.remote(), "seen")
        url = function("web").get_web_url()
        with urllib.request.urlopen(url, timeout=CALL_TIMEOUT) as answer:
            self.assertEqual(answer.read(), b"seen")

    def test_many_writers_at_once_lose_nothing_and_the_last_one_wins(self):
        function("write").remote("many/.keep", "")
        names = [f"w{number}" for number in range(24)]
        list(function("write_both").map(names))
        for name in names:
            self.assertEqual(content_of("e2e-data", f"many/{name}").decode(), name * 1000)
        shared = content_of("e2e-data", "shared.txt").decode()
        self.assertIn(shared, [name * 1000 for name in names])

    def test_two_containers_that_map_a_file_have_it_in_memory_once(self):
        size = 100 << 20
        put("e2e-data", "weights.bin", os.urandom(1 << 20) * 100)
        calls = [function("map_weights").spawn(20) for _ in range(2)]

        def frames():
            """The physical pages of the mapping, for each process that has all of it."""
            found = {}
            for pid in descendants_of(server.process.pid):
                pages = frames_of(pid, "/data/weights.bin")
                if len(pages) == size // 4096 and all(pages):
                    found[environment_of(pid).get("MODAL_TASK_ID")] = pages
            return list(found.values()) if len(found) == 2 else None

        first, second = wait_until(frames, CALL_TIMEOUT, "two containers have mapped all of it")
        same = sum(one == other for one, other in zip(first, second))
        self.assertGreater(same, 0.99 * len(first))
        self.assertEqual(len({call.get(timeout=CALL_TIMEOUT) for call in calls}), 1)


class CommandLine(E2eTest):
    server = server

    def test_every_verb(self):
        with tempfile.TemporaryDirectory() as folder:
            cli("create", "e2e-verbs")
            self.assertIn("e2e-verbs", cli("list", "--json").stdout)
            cli("put", "e2e-verbs", APPS / "parcel", "/parcel")
            cli("put", "e2e-verbs", APPS / "parcel" / "top.txt", "folder/")
            listed = cli("ls", "e2e-verbs").stdout.split()
            self.assertEqual(sorted(listed), ["folder", "parcel"])
            entries = json.loads(cli("ls", "e2e-verbs", "parcel", "--json").stdout)
            types = {entry["filename"]: entry["type"] for entry in entries}
            self.assertEqual(types["parcel/inner"], "dir")
            self.assertEqual(types["parcel/top.txt"], "file")
            cli("get", "e2e-verbs", "parcel", folder)
            deep = pathlib.Path(folder, "parcel", "inner", "deep.txt")
            self.assertEqual(deep.read_text(), "deep\n")
            self.assertEqual(cli("get", "e2e-verbs", "folder/top.txt", "-").stdout[:4], "top\n")
            cli("get", "--force", "e2e-verbs", "/", folder)
            self.assertTrue(pathlib.Path(folder, "folder", "top.txt").exists())
            cli("cp", "e2e-verbs", "folder/top.txt", "copy.txt")
            cli("cp", "-r", "e2e-verbs", "parcel", "folder")
            self.assertEqual(content_of("e2e-verbs", "folder/parcel/inner/deep.txt"), b"deep\n")
            self.assertEqual(content_of("e2e-verbs", "copy.txt"), b"top\n")
            cli("rm", "e2e-verbs", "copy.txt")
            cli("rm", "-r", "e2e-verbs", "parcel")
            self.assertEqual(cli("ls", "e2e-verbs").stdout.split(), ["folder"])
            cli("rename", "--yes", "e2e-verbs", "e2e-renamed")
            self.assertEqual(cli("ls", "e2e-renamed").stdout.split(), ["folder"])
            cli("delete", "--yes", "e2e-renamed")
            self.assertNotIn("e2e-renamed", cli("list", "--json").stdout)

    def test_mistakes_are_told(self):
        new_volume("e2e-mistakes")
        top = APPS / "parcel" / "top.txt"
        cli("put", "e2e-mistakes", top, "/taken")

        def failure(*arguments):
            done = cli(*arguments, check=False)
            self.assertNotEqual(done.returncode, 0, arguments)
            return " ".join((done.stdout + done.stderr).split())

        self.assertIn("exists", failure("put", "e2e-mistakes", top, "/taken"))
        cli("put", "--force", "e2e-mistakes", top, "/taken")
        self.assertIn("exists already", failure("create", "e2e-mistakes"))
        self.assertIn("not found", failure("ls", "e2e-absent"))
        self.assertIn("does not exist", failure("ls", "e2e-mistakes", "nowhere"))
        self.assertIn("does not exist", failure("get", "e2e-mistakes", "nowhere", "/tmp"))
        self.assertIn("does not exist", failure("rm", "e2e-mistakes", "nowhere"))
        self.assertIn("root", failure("rm", "-r", "e2e-mistakes", "/"))
        self.assertIn("..", failure("ls", "e2e-mistakes", "../../.."))
        self.assertIn("other", failure("ls", "e2e-mistakes", "--env", "other"))
        cli("create", "e2e-second")
        message = failure("rename", "--yes", "e2e-mistakes", "e2e-second")
        self.assertIn("exists already", message)

    def test_300_mb_go_up_and_down_while_the_server_stays_small(self):
        new_volume("e2e-large")
        with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
            source, back = pathlib.Path(folder, "source"), pathlib.Path(folder, "back")
            piece = os.urandom(1 << 20)
            with open(source, "wb") as file:
                for number in range(300):
                    file.write(number.to_bytes(4, "big") + piece[4:])
                file.write(b"a tail")
            cli("put", "e2e-large", source, "/large")
            cli("get", "e2e-large", "large", back)
            for path in (source, back):
                with open(path, "rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                if path == source:
                    expected = digest
            self.assertEqual(digest, expected)
        status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
        peak_kb = int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1))
        self.assertLess(peak_kb, 250 << 10)
        staging = host_folder("e2e-large").parent / "staging"
        self.assertEqual(list(staging.iterdir()), [])


class Api(E2eTest):
    server = server

    def test_files_of_every_size_come_back_byte_for_byte(self):
        new_volume("e2e-sizes")
        random = os.urandom(BLOCK)
        contents = {
            "empty": b"",
            "one": b"x",
            "zero": b"\0",
            "block": random,
            "block-and-one": random + b"x",
            "zeros": bytes(2 * BLOCK + 5),
            "same-blocks": random * 3,
            "zeros-behind": b"x" + bytes(BLOCK) + b"y" + bytes(100),
        }
        with volume("e2e-sizes").batch_upload() as batch:
            for name, content in contents.items():
                batch.put_file(io.BytesIO(content), f"/files/{name}")
        for name, content in contents.items():
            self.assertEqual(content_of("e2e-sizes", f"files/{name}"), content, name)
            out = io.BytesIO()
            volume("e2e-sizes").read_file_into_fileobj(f"files/{name}", out)
            self.assertEqual(out.getvalue(), content, name)

    def test_existing_files_are_only_replaced_when_asked(self):
        new_volume("e2e-force")
        put("e2e-force", "/a", b"old", force=False)
        with self.assertRaises(FileExistsError):
            put("e2e-force", "/a", b"new", force=False)
        self.assertEqual(content_of("e2e-force", "a"), b"old")
        put("e2e-force", "/a", b"new")
        self.assertEqual(content_of("e2e-force", "a"), b"new")

    def test_objects_are_listed_named_and_deleted(self):
        for number in range(3):
            new_volume(f"e2e-object-{number}")
        with self.assertRaises(modal.exception.AlreadyExistsError):
            new_volume("e2e-object-1")
        modal.Volume.objects.create("e2e-object-1", allow_existing=True)
        names = [found.name for found in modal.Volume.objects.list()]
        newest = [name for name in names if name.startswith("e2e-object-")]
        self.assertEqual(newest, ["e2e-object-2", "e2e-object-1", "e2e-object-0"])
        self.assertEqual(len(modal.Volume.objects.list(max_objects=2)), 2)
        found = volume("e2e-object-0").hydrate()
        self.assertEqual(found.info().name, "e2e-object-0")
        by_id = modal.Volume.from_id(found.object_id).hydrate()
        self.assertEqual(by_id.info().name, "e2e-object-0")
        modal.Volume.objects.delete("e2e-object-0")
        modal.Volume.objects.delete("e2e-object-0", allow_missing=True)
        with self.assertRaises(modal.exception.NotFoundError):
            volume("e2e-object-0").hydrate()
        with self.assertRaises(modal.exception.NotFoundError):
            modal.Volume.from_id(found.object_id).hydrate()
        folder = server.data / "volumes" / found.object_id
        wait_until(lambda: not folder.exists(), 20, "the files of the volume are gone")

    def test_missing_files_are_the_errors_that_the_client_knows(self):
        new_volume("e2e-missing")
        with self.assertRaises(FileNotFoundError):
            content_of("e2e-missing", "nothing")
        with self.assertRaises(FileNotFoundError):
            volume("e2e-missing").remove_file("nothing")
        with self.assertRaises(modal.exception.NotFoundError):
            volume("e2e-missing").listdir("nothing")
        with self.assertRaises(RuntimeError):
            volume("e2e-missing").commit()

    def test_a_format_that_is_asked_for_is_the_one_that_is_given(self):
        new = modal.Volume.from_name("e2e-second-format", create_if_missing=True, version=2)
        new.hydrate()
        with self.assertRaisesRegex(modal.exception.InvalidError, "v2, not v1"):
            modal.Volume.from_name("e2e-second-format", version=1).hydrate()
        cli("put", "--force", "e2e-first", APPS / "parcel", "/folder")
        self.assertEqual(function("first_format").remote(), "top\n")
        self.assertIn("folder", cli("ls", "e2e-first").stdout)
        cli("cp", "e2e-first", "folder/top.txt", "copy")
        cli("rm", "e2e-first", "folder/top.txt")
        self.assertEqual(content_of("e2e-first", "copy"), b"top\n")

    def test_an_ephemeral_volume_ends_with_its_heartbeat(self):
        with modal.Volume.ephemeral(_heartbeat_sleep=0.5) as ephemeral:
            with ephemeral.batch_upload() as batch:
                batch.put_file(io.BytesIO(b"text"), "/file")
            folder = server.data / "volumes" / ephemeral.object_id
            time.sleep(5)  # longer than it lives without
            self.assertEqual([entry.path for entry in ephemeral.listdir("/")], ["file"])
            self.assertNotIn(None, [found.name for found in modal.Volume.objects.list()])
        wait_until(lambda: not folder.exists(), 20, "the ephemeral volume is gone")

    def test_a_volume_of_another_environment_is_not_seen(self):
        with self.assertRaises(modal.exception.NotFoundError):
            modal.Volume.from_name("e2e-data", environment_name="other").hydrate()


class Hostile(E2eTest):
    server = server

    def test_odd_files_harm_nobody(self):
        self.assertEqual(function("has_special_files").remote(), ["refused", "refused"])
        listed = [entry.path for entry in volume().listdir("odd")]
        self.assertEqual(len(listed), 6)
        self.assertIn("odd/new\nline", listed)
        self.assertIn("odd/\ufffd\ufffd", listed)
        for name in ("outside", "up", "magic/etc/passwd", "fifo"):
            with self.assertRaises((FileNotFoundError, modal.exception.Error), msg=name):
                content_of("e2e-data", f"odd/{name}")
        self.assertEqual(content_of("e2e-data", "odd/new\nline"), b"two lines")
        volume().remove_file("odd", recursive=True)

    def test_a_signed_url_is_for_one_block(self):
        from modal_proto import api_pb2

        put("e2e-data", "/signed", b"mine")
        found = volume().hydrate()
        request = api_pb2.VolumeGetFile2Request(volume_id=found.object_id, path="signed")

        async def ask():
            return await found.client._stub.VolumeGetFile2(request)

        from modal._utils.async_utils import synchronizer

        url = synchronizer.create_blocking(ask)().get_urls[0]
        with urllib.request.urlopen(url) as answer:
            self.assertEqual(answer.read(), b"mine")
        for before, after in (("size=4", "size=400"), ("op=get", "op=put"), ("from=0", "from=1")):
            self.assertIn(before, url)
            with self.assertRaises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(url.replace(before, after))
            self.assertEqual(refused.exception.code, 403)
        put("e2e-data", "/signed", b"next")
        with self.assertRaises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(url)
        self.assertEqual(refused.exception.code, 409)

    def test_a_volume_that_is_deleted_while_it_is_mounted_fails_nobody_else(self):
        call = function("see_it_go").spawn()
        wait_until(
            lambda: volume("e2e-gone").listdir("/"), CALL_TIMEOUT, "the function has the volume",
            pause=0.5,
        )  # fmt: skip
        modal.Volume.objects.delete("e2e-gone")
        self.assertEqual(call.get(timeout=CALL_TIMEOUT), [])
        with self.assertRaisesRegex(Exception, "deleted"):
            function("needs_it").remote()
        # A new one of that name is another one; the next deployment takes it.
        deploy(server, "volumes.py")
        self.assertEqual(function("needs_it").remote(), [])


class Durable(E2eTest):
    server = server

    def test_a_committed_file_survives_the_kill_of_its_container_alone(self):
        name = "write_and_wait_to_be_killed"
        call = function(name).spawn("killed.txt", "committed before")

        def committed():
            log = server.thaw("logs", "e2e-volumes", "--data", str(server.data)).stdout
            return "committed" in log.split()

        wait_until(committed, CALL_TIMEOUT, "it has committed")
        shown = json.loads(server.thaw("ps", "--json", "--data", str(server.data)).stdout)
        [task] = [view["container"] for view in shown if view["function"] == name]
        pids = [container.pid for container in server.containers() if container.task_id == task]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self.assertEqual(function("read").remote("killed.txt"), "committed before")
        again, text = call.get(timeout=CALL_TIMEOUT)  # delivered again, in another container
        self.assertNotEqual(again, task)
        self.assertEqual(text, "committed before")
        self.assertEqual(content_of("e2e-data", "killed.txt"), b"committed before")

    def test_a_committed_file_survives_the_death_of_container_and_server(self):
        function("write").remote("kept.txt", "kept")
        put("e2e-data", "/uploaded.bin", bytes(range(256)) * 1000)
        doomed = new_volume("e2e-doomed")
        folder = host_folder(doomed).parent
        (folder / "files" / "many").mkdir()
        for number in range(2000):
            (folder / "files" / "many" / str(number)).touch()
        modal.Volume.objects.delete(doomed)
        call = function("hold").spawn(60)
        wait_until(lambda: server.containers(), 120, "a container runs")
        server.kill()
        call = None  # noqa: F841
        server.start()
        self.assertEqual(content_of("e2e-data", "kept.txt"), b"kept")
        self.assertEqual(content_of("e2e-data", "uploaded.bin"), bytes(range(256)) * 1000)
        self.assertEqual(function("read").remote("kept.txt"), "kept")
        wait_until(lambda: not folder.exists(), 30, "the deletion was finished by the new server")
        left = [path.name for path in (server.data / "volumes").iterdir()]
        self.assertEqual([name for name in left if "doomed" in name], [])


class FullDisk(E2eTest):
    def test_a_full_disk_is_a_clear_error(self):
        with tempfile.TemporaryDirectory(prefix="thaw-e2e-disk-") as folder:
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", "size=100m", "thaw-e2e", folder], check=True
            )
            small = ThawServer(data=os.path.join(folder, "data"))
            try:
                small.start()
                small.modal("volume", "create", "full")
                big = pathlib.Path(small.folder, "big")
                big.write_bytes(os.urandom(1 << 20) * 130)
                started = time.monotonic()
                done = small.modal("volume", "put", "full", big, "/", check=False)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn("no space is left", " ".join((done.stdout + done.stderr).split()))
                self.assertLess(time.monotonic() - started, 60)
                big.write_bytes(b"small")
                small.modal("volume", "put", "full", big, "/")
                shown = small.modal("volume", "get", "full", "big", "-").stdout
                self.assertEqual(shown[:5], "small")
            finally:
                small.close()
                subprocess.run(["umount", folder], check=True)


if __name__ == "__main__":
    main()
