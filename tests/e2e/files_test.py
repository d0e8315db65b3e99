#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What comes with a function: secrets, variables, local files, folders, packages, large files."""
import hashlib
import os
import pathlib

from thaw_server import APPS, E2eTest, ThawServer, deploy, main

server = ThawServer.for_module()

import modal  # noqa: E402

LARGE = pathlib.Path(server.folder) / "large.bin"


def function(name):
    return modal.Function.from_name("e2e-files", name)


def setUpModule():
    LARGE.write_bytes(os.urandom(9 << 20))  # above the size that travels inside a message
    values = ("NAMED=kept by the server", "SHARED=from the name")
    server.modal("secret", "create", "e2e-named", *values)
    deploy(server, "files.py", env={"E2E_LARGE_FILE": str(LARGE)})


class Files(E2eTest):
    server = server

    def test_local_files_and_folders_are_there(self):
        found = function("read_files").remote()
        self.assertEqual(found["one"], "top\n")
        tree = ["Dockerfile.test", "inner/deep.txt", "program.sh", "top.txt"]
        self.assertEqual(found["tree"], tree)
        self.assertEqual(found["deep"], "deep\n")
        self.assertEqual(found["program"], "ran as a program\n")
        self.assertEqual(found["large"], hashlib.sha256(LARGE.read_bytes()).hexdigest())

    def test_a_local_package_can_be_imported(self):
        name, doubled = function("use_package").remote(21)
        self.assertEqual((name, doubled), ("e2e_package", 42))

    def test_containers_cannot_change_each_others_files_or_the_hosts(self):
        listing = function("try_to_write_everywhere").remote()
        self.assertIn("usr", listing)
        self.assertFalse(pathlib.Path("/root/mark").exists())
        self.assertFalse(pathlib.Path("/tmp/mark").exists())
        self.assertEqual((APPS / "parcel" / "top.txt").read_text(), "top\n")


class Secrets(E2eTest):
    server = server

    def test_secrets_and_variables_are_environment_variables_and_later_ones_win(self):
        found = function("read_environment").remote()
        self.assertEqual(found["FIRST"], "one")
        self.assertEqual(found["SECOND"], "zwei ö")
        self.assertEqual(found["NAMED"], "kept by the server")
        self.assertEqual(found["PLAIN"], "a variable")
        self.assertEqual(found["SHARED"], "from the name")

    def test_a_container_holds_neither_the_users_token_nor_the_hosts_variables(self):
        found = function("all_environment").remote()
        token = server.client_environment()["MODAL_TOKEN_SECRET"]
        self.assertNotIn(token, found.values())
        self.assertNotIn("MODAL_TOKEN_ID", found)
        self.assertNotIn("THAW_IMAGE_CACHE", found)
        self.assertEqual(found["HOME"], "/root")

    def test_a_secret_is_listed_without_its_values(self):
        listing = server.modal("secret", "list", "--json").stdout
        self.assertIn("e2e-named", listing)
        self.assertNotIn("kept by the server", listing)

    def test_a_secret_is_not_readable_in_the_data_folder(self):
        for path in server.data.rglob("*"):
            if path.is_file():
                self.assertNotIn(b"kept by the server", path.read_bytes(), path)

    def test_a_secret_that_does_not_exist_is_named(self):
        absent = "^Secret 'e2e-absent' not found"
        with self.assertRaisesRegex(modal.exception.NotFoundError, absent):
            modal.Secret.from_name("e2e-absent").hydrate()

    def test_a_missing_key_is_named(self):
        with self.assertRaisesRegex(
            modal.exception.ConflictError, r"^Secret is missing key\(s\): WANTED"
        ):
            modal.Secret.from_name("e2e-named", required_keys=["WANTED"]).hydrate()


if __name__ == "__main__":
    main()
