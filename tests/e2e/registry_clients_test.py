#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The server's own registry and those who test registries, or use them, beside skopeo: the
conformance tests of OCI's distribution specification, crane, oras and buildah, all unmodified."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest
import uuid
import xml.etree.ElementTree

from oci_layout import Layout, tar_of
from thaw_server import CALL_TIMEOUT, ROOT, THAW_BIN, E2eTest, ThawServer, main

server = ThawServer.for_module()
MADE = subprocess.run(
    [str(THAW_BIN), "token", "create", "clients", "--json", "--server", str(server.data)],
    check=True, capture_output=True, text=True, timeout=CALL_TIMEOUT,
)  # fmt: skip
TOKEN = json.loads(MADE.stdout)
USER, PASSWORD = TOKEN["token"], TOKEN["secret"]


def program(name):
    """The client of tests/clients/NAME, built once for all checkouts; skips, and says why."""
    found = subprocess.run([ROOT / "tools/client", f"tests/clients/{name}/go.mod"], cwd=ROOT,
                           capture_output=True, text=True)  # fmt: skip
    if found.returncode != 0:
        reason = (found.stderr.strip().splitlines() or ["no reason given"])[-1]
        print(f"SKIPPED {name}: {reason}", flush=True)
        raise unittest.SkipTest(reason)
    return found.stdout.strip().splitlines()[-1] + "/program"


class ClientTest(E2eTest):
    server = server

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="e2e-registry-clients-"))
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.name = f"127.0.0.1:{server.port}/team/{uuid.uuid4().hex[:10]}"
        # What logins are kept in is this test's alone.
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder)}

    def run_program(self, *command, check=True, stdin=None, **more):
        done = subprocess.run(
            [str(word) for word in command], capture_output=True, text=True, cwd=self.folder,
            timeout=CALL_TIMEOUT, input=stdin, env={**self.environment, **more},
        )  # fmt: skip
        if check and done.returncode != 0:
            raise AssertionError(f"{command} ended with {done.returncode}: {done.stderr}")
        return done

    def layout(self):
        files = {"marker": "of the image\n", "fresh": uuid.uuid4().hex}
        return Layout(self.folder / "layout", [tar_of(files)], {"Cmd": ["/x"]})


class Conformance(ClientTest):
    def test_the_distribution_specification(self):
        conformance = program("oci_conformance")
        results = self.folder / "results"
        done = self.run_program(
            conformance, check=False, OCI_REGISTRY=f"127.0.0.1:{server.port}", OCI_TLS="disabled",
            OCI_USERNAME=USER, OCI_PASSWORD=PASSWORD, OCI_RESULTS_DIR=str(results),
            # Digests are SHA-256, which docs/guides/registry.md says.
            OCI_DATA_SHA512="false", OCI_API_BLOBS_UPLOAD_CANCEL="true",
            OCI_API_BLOBS_DIGEST_HEADER="true", OCI_API_MANIFESTS_DIGEST_HEADER="true",
        )  # fmt: skip
        report = xml.etree.ElementTree.parse(results / "junit.xml").getroot()
        cases = list(report.iter("testcase"))
        failed = [case.get("name") for case in cases
                  if any(case.find(bad) is not None for bad in ("failure", "error"))]  # fmt: skip
        skipped = [case.get("name") for case in cases if case.find("skipped") is not None]
        print(f"conformance: {len(cases)} tests, {len(skipped)} of them not for this registry: "
              f"{', '.join(skipped)}", flush=True)  # fmt: skip
        self.assertEqual(failed, [], done.stdout[-20_000:])
        self.assertEqual(done.returncode, 0, done.stderr[-5_000:])
        self.assertGreater(len(cases), 100)


class Crane(ClientTest):
    def test_it_logs_in_pushes_copies_lists_and_pulls(self):
        crane = program("crane")
        self.run_program(crane, "auth", "login", f"127.0.0.1:{server.port}", "-u", USER,
                         "--password-stdin", stdin=PASSWORD)  # fmt: skip
        self.run_program(crane, "push", self.layout(), f"{self.name}:1")
        self.run_program(crane, "copy", f"{self.name}:1", f"{self.name}-copy:2")
        digest = self.run_program(crane, "digest", f"{self.name}:1").stdout
        self.assertEqual(self.run_program(crane, "digest", f"{self.name}-copy:2").stdout, digest)
        self.run_program(crane, "tag", f"{self.name}:1", "again")
        tags = self.run_program(crane, "ls", self.name).stdout.split()
        self.assertEqual(tags, ["1", "again"])
        catalog = self.run_program(crane, "catalog", f"127.0.0.1:{server.port}").stdout.split()
        self.assertIn(self.name.split("/", 1)[1] + "-copy", catalog)
        marked = f"{self.name}:m"
        self.run_program(crane, "mutate", f"{self.name}:1", "--label", "a=b", "-t", marked)
        config = json.loads(self.run_program(crane, "config", marked).stdout)
        self.assertEqual(config["config"]["Labels"], {"a": "b"})
        self.run_program(crane, "pull", "--format=oci", f"{self.name}:1", "back")
        self.assertTrue((self.folder / "back/index.json").exists())
        self.run_program(crane, "delete", f"{self.name}-copy:2")
        self.assertNotEqual(
            self.run_program(crane, "digest", f"{self.name}-copy:2", check=False).returncode, 0
        )


class Oras(ClientTest):
    def test_artifacts_and_what_refers_to_them(self):
        oras = program("oras")
        self.run_program(oras, "login", "--plain-http", f"127.0.0.1:{server.port}", "-u", USER,
                         "--password-stdin", stdin=PASSWORD)  # fmt: skip
        (self.folder / "a.txt").write_text("an artifact")
        (self.folder / "s.txt").write_text("its signature")
        self.run_program(oras, "push", "--plain-http", "--artifact-type", "test/a",
                         f"{self.name}:1", "a.txt:text/plain")  # fmt: skip
        self.run_program(oras, "attach", "--plain-http", "--artifact-type", "test/signature",
                         f"{self.name}:1", "s.txt:text/plain")  # fmt: skip
        tree = self.run_program(oras, "discover", "--plain-http", f"{self.name}:1").stdout
        self.assertIn("test/signature", tree)
        self.run_program(oras, "cp", "--from-plain-http", "--to-plain-http", "-r",
                         f"{self.name}:1", f"{self.name}-copy:2")  # fmt: skip
        self.assertIn(
            "test/signature",
            self.run_program(oras, "discover", "--plain-http", f"{self.name}-copy:2").stdout,
        )
        self.run_program(oras, "pull", "--plain-http", "-o", "back", f"{self.name}-copy:2")
        self.assertEqual((self.folder / "back/a.txt").read_text(), "an artifact")


@unittest.skipIf(shutil.which("buildah") is None, "buildah is not installed")
class Buildah(ClientTest):
    """Images that it makes of nothing: what runs in a container of its own is no registry's."""

    def test_it_builds_pushes_and_pulls(self):
        stored = ["buildah", "--root", self.folder / "root", "--runroot", self.folder / "run",
                  "--storage-driver", "vfs"]  # fmt: skip
        who = ["--tls-verify=false", "--creds", f"{USER}:{PASSWORD}"]
        (self.folder / "marker").write_text("of the image")
        (self.folder / "Dockerfile").write_text("FROM scratch\nCOPY marker /marker\nLABEL a=b\n")
        self.run_program(*stored, "build", "--isolation", "chroot", "-t", "made", self.folder)
        self.run_program(*stored, "push", *who, "made", f"docker://{self.name}:1")
        self.run_program(*stored, "rmi", "made")
        self.run_program(*stored, "pull", *who, f"docker://{self.name}:1")
        images = self.run_program(*stored, "images").stdout
        self.assertIn(self.name, images)


if __name__ == "__main__":
    main()
