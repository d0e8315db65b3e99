#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Buckets as folders of functions, classes and sandboxes: what is read and written, what an
endpoint can do to them, and what serves them."""
import errno
import hashlib
import json
import os
import pathlib
import signal
import socket

from s3_store import Relay, Store
from thaw_server import (
    CALL_TIMEOUT, E2eTest, ThawServer, command_of, deploy, descendants_of, environment_of, main,
    skip_all, wait_until,
)  # fmt: skip

if not os.path.exists("/usr/bin/rclone"):
    skip_all("this machine has no rclone; tools/setup installs it")

server = ThawServer.for_module(config='[buckets]\nallow = ["127.0.0.1"]\n')

import modal  # noqa: E402

store = Store("e2e-bucket")
silent = Relay(store.relay.target)
LARGE = 64 << 20


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def setUpModule():
    os.environ["E2E_BUCKETS"] = json.dumps({
        "bucket": store.bucket,
        "keys": store.environment(),
        "endpoint": store.endpoint,
        "silent": f"http://127.0.0.1:{silent.port}",
        "closed": f"http://127.0.0.1:{closed_port()}",
        "private": "http://10.255.255.1:9000",
    })  # fmt: skip
    store.put("class/one", b"1")
    deploy(server, "buckets.py")


def tearDownModule():
    silent.close()
    store.close()


def function(name):
    return modal.Function.from_name("e2e-buckets", name)


def call(name, program):
    return function(name).remote(program)


def helpers():
    """Processes that serve buckets."""
    found = []
    for pid in descendants_of(server.process.pid):
        if command_of(pid)[:2] == ["/bin/rclone", "mount"]:
            found.append(pid)
    return found


class Files(E2eTest):
    server = server

    def test_what_is_there_is_listed_and_read(self):
        store.put("read/a", b"first")
        store.put("read/below/b", b"second")
        program = """
import os
found = {os.path.join(at, f): open(os.path.join(at, f)).read()
         for at, _, files in os.walk("/b/read") for f in files}
"""
        there = {"/b/read/a": "first", "/b/read/below/b": "second"}
        # What others put there is seen within a second or two.
        wait_until(lambda: call("write", program) == there, CALL_TIMEOUT, "both are seen")

    def test_what_was_written_is_in_the_bucket_once_it_is_closed(self):
        program = """
import os, shutil
os.makedirs("/b/written/deep")
with open("/b/written/deep/a", "w") as file:
    file.write("text")
shutil.copy2("/b/written/deep/a", "/b/written/copy")
status = os.stat("/b/written/copy")
found = [status.st_uid, status.st_gid, oct(status.st_mode)]
"""
        self.assertEqual(call("write", program), [0, 0, "0o100644"])
        self.assertEqual(store.get("written/deep/a"), b"text")
        self.assertEqual(store.get("written/copy"), b"text")

    def test_files_are_renamed_and_removed(self):
        store.put("moved/old", b"same")
        store.put("moved/gone", b"x")
        call("write", 'import os\nos.rename("/b/moved/old", "/b/moved/new")\n'
                      'os.remove("/b/moved/gone")')  # fmt: skip
        self.assertEqual([key for key in store.keys() if key.startswith("moved/")], ["moved/new"])
        self.assertEqual(store.get("moved/new"), b"same")

    def test_a_file_is_changed_in_its_middle_and_appended_to(self):
        store.put("changed", b"0123456789")
        call("write", """
with open("/b/changed", "r+b") as file:
    file.seek(3)
    file.write(b"abc")
with open("/b/changed", "ab") as file:
    file.write(b"!")
""")
        wait_until(lambda: store.get("changed") == b"012abc6789!", CALL_TIMEOUT, "it is changed")

    def test_a_large_file_goes_there_and_back(self):
        program = f"""
import hashlib, os
block = os.urandom(1 << 20)
with open("/b/large", "wb") as file:
    for _ in range({LARGE >> 20}):
        file.write(block)
back = hashlib.sha256()
with open("/b/large", "rb") as file:
    while piece := file.read(1 << 20):
        back.update(piece)
found = [hashlib.sha256(block * {LARGE >> 20}).hexdigest(), back.hexdigest()]
"""
        written, back = call("write", program)
        self.assertEqual(written, back)
        self.assertEqual(hashlib.sha256(store.get("large")).hexdigest(), written)

    def test_read_only_is_read_only(self):
        store.put("only", b"read")
        program = """
found = [open("/b/only").read()]
try:
    open("/b/only", "w")
except OSError as error:
    found.append(error.errno)
"""
        self.assertEqual(call("only_read", program), ["read", errno.EROFS])
        self.assertEqual(store.get("only"), b"read")

    def test_a_key_prefix_is_all_that_there_is(self):
        store.put("deep/down/inside", b"in")
        store.put("deep/beside", b"no")
        program = """
import os
open("/b/made", "w").write("below")
found = [sorted(os.listdir("/b")), os.path.exists("/b/../deep/beside")]
"""
        self.assertEqual(call("below", program), [["inside", "made"], False])
        self.assertEqual(store.get("deep/down/made"), b"below")

    def test_two_containers_see_one_bucket(self):
        call("write", 'open("/b/shared", "w").write("seen")')
        look = 'import os\nfound = os.path.exists("/b/shared") and open("/b/shared").read()'
        wait_until(lambda: call("write_too", look) == "seen", CALL_TIMEOUT, "the other sees it")

    def test_a_class_has_its_bucket_before_it_enters(self):
        self.assertEqual(modal.Cls.from_name("e2e-buckets", "Holder")().seen.remote(), ["one"])

    def test_a_sandbox_has_buckets_and_what_it_wrote_is_there_at_its_end(self):
        app = modal.App.lookup("e2e-buckets-boxes", create_if_missing=True)
        mount = modal.CloudBucketMount(
            store.bucket,
            bucket_endpoint_url=store.endpoint,
            secret=modal.Secret.from_dict(store.environment()),
            key_prefix="boxes/",
        )
        box = modal.Sandbox.create(
            "sh", "-c", "echo first > /mnt/a; echo more >> /mnt/a", app=app, volumes={"/mnt": mount}
        )
        box.wait(raise_on_termination=False)
        self.assertEqual(box.returncode, 0)
        wait_until(lambda: store.get("boxes/a") == b"first\nmore\n", CALL_TIMEOUT, "it is there")


class Refused(E2eTest):
    server = server

    def assert_fails(self, name, expected):
        with self.assertRaisesRegex(Exception, expected):
            call(name, "found = 1")

    def test_wrong_credentials_are_said_to_be_wrong(self):
        self.assert_fails("with_wrong_keys", f"'{store.bucket}'.*refused.*credentials")

    def test_an_endpoint_where_nobody_is_is_named(self):
        self.assert_fails("where_nobody_is", "endpoint http://127.0.0.1")

    def test_an_address_that_is_not_the_worlds_is_not_reached(self):
        self.assert_fails("where_it_may_not", r"\[buckets\] allow")

    def test_a_bucket_that_cannot_be_is_refused_by_the_deployment(self):
        for options in ({"bucket_name": "a/../b"}, {"bucket_name": "ok-name", "key_prefix": "../"}):
            app = modal.App("e2e-buckets-refused")
            mounts = {"/b": modal.CloudBucketMount(**options)}
            app.function(serialized=True, name="f", volumes=mounts)(lambda: 1)
            with self.subTest(options), self.assertRaisesRegex(Exception, "bucket"):
                app.deploy()

    def test_roles_are_not_served_and_named(self):
        app = modal.App("e2e-buckets-refused")
        role = "arn:aws:iam::123456789012:role/reader"
        mounts = {"/b": modal.CloudBucketMount("bucket", oidc_auth_role_arn=role)}
        app.function(serialized=True, name="f", volumes=mounts)(lambda: 1)
        with self.assertRaisesRegex(Exception, "oidc_auth_role_arn"):
            app.deploy()


class Trouble(E2eTest):
    server = server

    def test_an_endpoint_that_falls_silent_fails_its_readers_and_nobody_else(self):
        read = """
import os
try:
    found = sorted(os.listdir("/b"))
except OSError as error:
    found = error.errno
"""
        self.assertIn("class", call("of_a_silent_one", read))
        silent.silence()
        try:
            held = function("of_a_silent_one").spawn('import time\ntime.sleep(2)\n' + read)
            self.assertIn("class", call("write", read))
            self.assertEqual(held.get(timeout=CALL_TIMEOUT), errno.EIO)
        finally:
            silent.speak()

    def test_when_what_serves_it_dies_its_files_fail_at_once(self):
        before = set(helpers())
        mount = modal.CloudBucketMount(
            store.bucket,
            bucket_endpoint_url=store.endpoint,
            secret=modal.Secret.from_dict(store.environment()),
        )
        app = modal.App.lookup("e2e-buckets-boxes", create_if_missing=True)
        box = modal.Sandbox.create("sleep", "600", app=app, volumes={"/b": mount})
        (helper,) = wait_until(lambda: set(helpers()) - before, CALL_TIMEOUT, "it is served")
        self.assertEqual(box.exec("ls", "/b").wait(), 0)
        os.kill(helper, signal.SIGKILL)
        listed = box.exec("sh", "-c", "ls /b 2>&1; true")
        self.assertRegex(listed.stdout.read(), "not connected|Connection|abort")
        box.terminate()


class Helper(E2eTest):
    server = server

    def test_what_serves_a_bucket_is_nobody_and_sees_nothing(self):
        call("write", "found = 1")
        for pid in wait_until(helpers, CALL_TIMEOUT, "one serves it"):
            status = dict(
                line.split(":\t", 1)
                for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
                if ":\t" in line
            )
            self.assertEqual(int(status["CapEff"], 16) | int(status["CapPrm"], 16), 0)
            self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))
            self.assertNotEqual(status["Uid"].split()[0], "0")
            links = pathlib.Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]
            self.assertEqual([line.split(":")[0].strip() for line in links], ["lo"])
            root = pathlib.Path(f"/proc/{pid}/root")
            self.assertFalse((root / str(server.data)[1:]).exists())
            self.assertEqual(sorted(os.listdir(root / "bin")), ["fusermount", "rclone"])
            words = " ".join(command_of(pid))
            self.assertNotIn(store.secret, words)
            self.assertIn(store.secret, str(environment_of(pid)))

    def test_a_container_does_not_have_its_credentials(self):
        program = "import os\nfound = dict(os.environ)"
        self.assertNotIn(store.secret, str(call("write", program)))


class Zz_NextStart(E2eTest):
    """Last: it kills the server."""

    server = server

    def test_nothing_is_left_of_a_server_that_was_killed(self):
        call("write", "found = 1")
        before = wait_until(helpers, CALL_TIMEOUT, "one serves it")
        server.kill()
        server.end_keeper()
        wait_until(lambda: not any(command_of(pid)[:2] == ["/bin/rclone", "mount"]
                                   for pid in before), CALL_TIMEOUT, "none serves it")  # fmt: skip
        mounts = pathlib.Path("/proc/mounts").read_text().splitlines()
        self.assertNotIn("fuse", [line.split()[2] for line in mounts])
        server.start().use()
        self.assertEqual(call("write", 'found = open("/b/class/one").read()'), "1")


if __name__ == "__main__":
    main()
