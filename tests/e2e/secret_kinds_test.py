#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Secrets: each way to make one, what functions see of them, the command line, and who else may."""
import glob
import json
import os
import pathlib
import subprocess
import tempfile

from thaw_server import APPS, ROOT, E2eTest, ThawServer, main

server = ThawServer.for_module()

import modal  # noqa: E402
from modal.exception import AlreadyExistsError, InvalidError, NotFoundError  # noqa: E402
from modal_proto import api_pb2 as pb  # noqa: E402

folder = pathlib.Path(tempfile.mkdtemp(prefix="thaw-secrets-"))
(folder / ".env").write_text("E2E_DOT=of a file\nE2E_QUOTED='two words'\n# no line\n")


def dotenv_packages():
    """What the client reads such files with; it is no part of the client."""
    found = subprocess.run([ROOT / "tools/client", "tests/clients/dotenv.txt"], check=True,
                           text=True, stdout=subprocess.PIPE)  # fmt: skip
    lib = pathlib.Path(found.stdout.strip().splitlines()[-1]).parent / "lib"
    return glob.glob(f"{lib}/python3*/site-packages")[0]


def cli(*arguments, **options):
    packages = {"PYTHONPATH": dotenv_packages()}
    return server.modal("secret", *arguments, env=packages, **options)


def keys_of(name):
    return sorted(modal.Secret.from_name(name).hydrate()._get_metadata().keys)


def names():
    return {secret.name for secret in modal.Secret.objects.list()}


class Constructors(E2eTest):
    server = server

    @classmethod
    def setUpClass(cls):
        modal.Secret.objects.create("e2e-secrets-named", {"E2E_NAMED": "by name"})
        environment = {"PYTHONPATH": dotenv_packages(), "E2E_DOTENV": str(folder),
                       "E2E_LOCAL": "of this shell"}  # fmt: skip
        server.modal("deploy", APPS / "secret_kinds.py", env=environment)

    def seen(self, name):
        found = modal.Function.from_name("e2e-secrets", name).remote()
        return {key: value for key, value in found.items() if value != "of a container"}

    def test_a_function_sees_what_its_secret_holds_whichever_way_it_was_made(self):
        self.assertEqual(self.seen("from_dict"), {"E2E_DICT": "of a dict"})
        self.assertEqual(self.seen("from_local_environ"), {"E2E_LOCAL": "of this shell"})
        self.assertEqual(
            self.seen("from_dotenv"), {"E2E_DOT": "of a file", "E2E_QUOTED": "two words"}
        )
        self.assertEqual(self.seen("from_name"), {"E2E_NAMED": "by name"})

    def test_a_key_that_is_required_and_absent_is_named(self):
        wanted = modal.Secret.from_name("e2e-secrets-named", required_keys=["E2E_NAMED", "OTHER"])
        with self.assertRaisesRegex(modal.exception.ConflictError, "OTHER"):
            wanted.hydrate()


class Objects(E2eTest):
    server = server

    def test_one_is_made_listed_updated_told_about_and_deleted(self):
        modal.Secret.objects.create("e2e-life", {"A": "1"})
        with self.assertRaises(AlreadyExistsError):
            modal.Secret.objects.create("e2e-life", {"A": "2"})
        modal.Secret.objects.create("e2e-life", {"B": "2"}, allow_existing=True)
        self.assertEqual(keys_of("e2e-life"), ["A"])
        self.assertIn("e2e-life", names())
        secret = modal.Secret.from_name("e2e-life").hydrate()
        secret.update({"C": "3"})
        self.assertEqual(keys_of("e2e-life"), ["A", "C"])
        told = secret.info(refresh=True)
        self.assertEqual((told.name, told.environment_name), ("e2e-life", "main"))
        by_id = server.rpc("SecretGetInfo", pb.SecretGetInfoRequest(secret_id=secret.object_id))
        self.assertEqual(sorted(by_id.metadata.keys), ["A", "C"])
        self.assertNotIn(b"3", by_id.SerializeToString().replace(secret.object_id.encode(), b""))
        modal.Secret.objects.delete("e2e-life")
        self.assertNotIn("e2e-life", names())
        with self.assertRaises(NotFoundError):
            modal.Secret.objects.delete("e2e-life")
        modal.Secret.objects.delete("e2e-life", allow_missing=True)

    def test_what_no_environment_can_hold_is_refused(self):
        for name, values, words in (
            ("e2e-bad", {"A=B": "1"}, "cannot be the name"),
            ("e2e-bad", {"A": "1\0"}, "zero byte"),
        ):
            with self.assertRaisesRegex(InvalidError, words):
                modal.Secret.objects.create(name, values)
        self.assertNotIn("e2e-bad", names())


class CommandLine(E2eTest):
    server = server

    def test_one_is_made_of_words_a_file_of_lines_or_of_json(self):
        (folder / "values.json").write_text(json.dumps({"J": "json"}))
        cli("create", "e2e-words", "A=1", "B=two words")
        cli("create", "e2e-lines", "--from-dotenv", folder / ".env")
        cli("create", "e2e-json", "--from-json", folder / "values.json")
        self.assertEqual(keys_of("e2e-words"), ["A", "B"])
        self.assertEqual(keys_of("e2e-lines"), ["E2E_DOT", "E2E_QUOTED"])
        self.assertEqual(keys_of("e2e-json"), ["J"])
        listed = cli("list", "--json").stdout
        for name in ("e2e-words", "e2e-lines", "e2e-json"):
            self.assertIn(name, listed)
        self.assertNotIn("two words", listed)

    def test_one_that_exists_is_replaced_only_when_asked(self):
        cli("create", "e2e-force", "A=1")
        again = cli("create", "e2e-force", "B=2", check=False)
        self.assertNotEqual(again.returncode, 0)
        self.assertIn("exists already", again.stderr + again.stdout)
        cli("create", "--force", "e2e-force", "B=2")
        self.assertEqual(keys_of("e2e-force"), ["B"])
        cli("delete", "--yes", "e2e-force")
        self.assertNotIn("e2e-force", names())
        gone = cli("delete", "--yes", "e2e-force", check=False)
        self.assertNotEqual(gone.returncode, 0)


if __name__ == "__main__":
    os.environ["COLUMNS"] = "240"
    main()
