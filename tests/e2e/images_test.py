#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Images: layers of each kind, the cache, and what a failing step tells the user."""
import time

from thaw_server import E2eTest, ThawServer, main

server = ThawServer.for_module()

import modal  # noqa: E402


def deploy_image(name, **options):
    return server.modal("deploy", "images.py", env={"E2E_IMAGE": name}, **options)


def look():
    return modal.Function.from_name("e2e-images", "look").remote()


class Images(E2eTest):
    server = server

    def test_layers_of_each_kind_and_then_the_cache(self):
        deploy_image("layers")
        found = look()
        self.assertEqual(found["humanize"], "1,234,567")
        self.assertIn("tree v", found["tree"])
        self.assertEqual(found["colour"], "blue")
        self.assertEqual(found["/made/colour"], "blue\n")
        self.assertEqual(found["/made/copied"], "top\n")
        self.assertEqual(found["cwd"], "/made")
        started = time.monotonic()
        again = deploy_image("layers")
        self.assertNotIn("from the build log", again.stdout)
        self.assertLess(time.monotonic() - started, 60)

    def test_a_debian_python_image_by_its_registry_name(self):
        deploy_image("registry")
        found = look()
        self.assertEqual(found["/registry"], "ok\n")
        self.assertIn("bookworm", found["/etc/os-release"])

    def test_a_dockerfile_with_its_context(self):
        deploy_image("dockerfile")
        found = look()
        self.assertEqual(found["/from-dockerfile"], "top\ndefault\n")
        self.assertEqual((found["colour"], found["cwd"]), ("green", "/copied"))

    def test_a_dockerfile_with_mounts_of_its_steps_and_an_archive(self):
        deploy_image("mounts")
        found = look()
        self.assertEqual(found["/mounted"], "of the context\nof a stage\nof an archive\n")
        self.assertEqual(found["left"], [])

    def test_a_python_of_debian_in_a_virtual_environment_is_found_by_the_path(self):
        deploy_image("apt_python")
        self.assertEqual(look()["python"], "/opt/venv/bin/python")

    def test_the_entrypoint_of_an_image_runs_first(self):
        deploy_image("entrypoint")
        self.assertEqual(look()["colour"], "of-the-entrypoint")

    def test_a_python_is_added_to_an_image_that_has_none(self):
        done = deploy_image("add_python")
        self.assertEqual(look()["python"], "/usr/local/bin/python")
        self.assertNotIn("asks for Python", done.stdout + done.stderr)

    def test_images_that_cannot_be_had_are_told_with_what_can(self):
        for image, told in {
            "not_pulled": ("ubuntu:22.04", "[images] default_registry"),
        }.items():
            with self.subTest(image=image):
                done = deploy_image(image, check=False)
                self.assertNotEqual(done.returncode, 0)
                for words in told:
                    self.assertIn(words, done.stderr)

    def test_a_package_that_does_not_exist_is_a_build_error_with_pips_words(self):
        done = deploy_image("missing_package", check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("thaw-e2e-there-is-no-such-package", done.stdout + done.stderr)
        self.assertIn("No matching distribution found", done.stdout + done.stderr)

    def test_a_failing_step_shows_its_output_and_is_tried_again(self):
        for attempt in (1, 2):
            with self.subTest(attempt=attempt):
                done = deploy_image("failing_step", check=False)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn("why", done.stdout + done.stderr)
                self.assertIn("7", done.stderr)


if __name__ == "__main__":
    main()
