#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each way in which the client builds images: what is asked for is in them, and what cannot be had
is told in words. Small packages of the index that the machine's pip uses; a private index and a
repository are made inside of an image."""
import base64
import contextlib
import functools
import hashlib
import io
import json
import pathlib
import re
import secrets
import tempfile
import zipfile

from thaw_server import E2eTest, ThawServer, main

server = ThawServer.for_module()

import modal  # noqa: E402

SCRATCH = tempfile.TemporaryDirectory(prefix="e2e-builders-")
FOLDER = pathlib.Path(SCRATCH.name)
base = modal.Image.debian_slim(python_version="3.11")


def look(modules=(), files=(), names=()):
    """Of the image that it runs in: versions of packages, texts of files, variables."""
    import importlib.metadata
    import os
    import pathlib
    import sys

    found = {"python": sys.executable, "version": list(sys.version_info[:2])}
    for module in modules:
        try:
            found[module] = importlib.metadata.version(module)
        except importlib.metadata.PackageNotFoundError:
            found[module] = None
    for file in files:
        path = pathlib.Path(file)
        found[file] = path.read_text() if path.exists() else None
    for name in names:
        found[name] = os.environ.get(name)
    return found


def run(image, modules=(), files=(), names=()):
    app = modal.App("e2e-builders")
    function = app.function(image=image, serialized=True, name="look")(look)
    with app.run():
        return function.remote(tuple(modules), tuple(files), tuple(names))


def build(image):
    """The image's id, and what its build has said."""
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), modal.enable_output():
        app = modal.App.lookup("e2e-builders-images", create_if_missing=True)
        image.build(app)
    return image.object_id, shown.getvalue()


def text_file(name, text):
    path = FOLDER / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def wheel(name, version, folder):
    """A package with one module that says its version."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    files = {
        f"{module}.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: e2e\nRoot-Is-Purelib: true\n"
                         "Tag: py3-none-any\n",
    }  # fmt: skip
    record = ""
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
        record += f"{path},sha256={digest.decode()},{len(text)}\n"
    folder.mkdir(parents=True, exist_ok=True)
    file = f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(folder / file, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
        archive.writestr(f"{info}/RECORD", record + f"{info}/RECORD,,\n")
    return file


@functools.cache
def with_index():
    """An image that holds an index with a package that no other index has."""
    packages = FOLDER / "index" / "thaw-e2e-private"
    file = wheel("thaw-e2e-private", "4.2", packages)
    (packages / "index.html").write_text(f'<a href="{file}">{file}</a>')
    (packages.parent / "index.html").write_text('<a href="thaw-e2e-private/">x</a>')
    return base.add_local_dir(packages.parent, "/index", copy=True)


class Pip(E2eTest):
    server = server

    def test_requirements_of_files_and_of_a_project(self):
        listed = text_file("requirements.txt", "# what it needs\niniconfig==2.0.0\n")
        project = text_file("project/pyproject.toml", """
[project]
name = "e2e"
version = "1"
dependencies = ["humanize==4.13.0"]
[project.optional-dependencies]
tools = ["six==1.17.0"]
more = ["toolz==1.0.0"]
""")  # fmt: skip
        image = base.pip_install_from_requirements(str(listed)).pip_install_from_pyproject(
            str(project), optional_dependencies=["tools"]
        )
        found = run(image, ["iniconfig", "humanize", "six", "toolz"])
        versions = [found[name] for name in ("iniconfig", "humanize", "six", "toolz")]
        self.assertEqual(versions, ["2.0.0", "4.13.0", "1.17.0", None])

    def test_an_index_of_ones_own_and_one_beside_the_usual(self):
        own = with_index().pip_install("thaw-e2e-private", index_url="file:///index")
        both = with_index().pip_install(
            "thaw-e2e-private==4.2", "iniconfig==2.0.0", extra_index_url="file:///index"
        )
        links = with_index().pip_install(
            "thaw-e2e-private", find_links="/index/thaw-e2e-private", extra_options="--no-index"
        )
        for image in (own, both, links):
            found = run(image, ["thaw-e2e-private", "iniconfig"])
            self.assertEqual(found["thaw-e2e-private"], "4.2")
            self.assertEqual(found["iniconfig"], "2.0.0" if image is both else None)

    def test_an_index_that_a_secret_names_stays_out_of_the_image(self):
        secret = modal.Secret.from_dict({"PIP_INDEX_URL": "file:///index", "E2E_TOKEN": "hidden"})
        found = run(
            with_index().pip_install("thaw-e2e-private", secrets=[secret]),
            ["thaw-e2e-private"], names=["PIP_INDEX_URL", "E2E_TOKEN"],
        )  # fmt: skip
        self.assertEqual(found["thaw-e2e-private"], "4.2")
        self.assertEqual((found["PIP_INDEX_URL"], found["E2E_TOKEN"]), (None, None))

    def test_a_private_repository_by_a_token_of_a_secret(self):
        setup = """set -e
mkdir /work && cd /work && git init -q -b main .
printf '[project]\\nname = "e2e-private-repo"\\nversion = "7.1"\\n' > pyproject.toml
printf '[tool.setuptools]\\npy-modules = []\\n' >> pyproject.toml
git add . && git -c user.name=e2e -c user.email=e2e@localhost commit -qm one
git clone -q --bare /work /repository.git
git config --system url.file:///repository.git.insteadOf \
https://me:token-of-e2e@github.com/acme/private
"""
        script = text_file("repository.sh", setup)
        prepared = (
            base.apt_install("git").add_local_file(script, "/setup.sh", copy=True)
            .run_commands("bash /setup.sh")
        )  # fmt: skip
        image = prepared.pip_install_private_repos(
            "github.com/acme/private@main", git_user="me",
            secrets=[modal.Secret.from_dict({"GITHUB_TOKEN": "token-of-e2e"})],
        )  # fmt: skip
        found = run(image, ["e2e-private-repo"], names=["GITHUB_TOKEN"])
        self.assertEqual((found["e2e-private-repo"], found["GITHUB_TOKEN"]), ("7.1", None))
        wrong = prepared.pip_install_private_repos(
            "github.com/acme/private@main", git_user="me",
            secrets=[modal.Secret.from_dict({"GITLAB_TOKEN": "x"})],
        )  # fmt: skip
        with self.assertRaisesRegex(modal.exception.ImageBuildError, "GITHUB_TOKEN env var not"):
            build(wrong)


class Uv(E2eTest):
    server = server

    def test_packages_files_of_requirements_and_indexes(self):
        listed = text_file("uv/requirements.txt", "iniconfig==2.0.0\n")
        again = text_file("uv/more/requirements.txt", "six==1.17.0\n")
        image = with_index().uv_pip_install(
            "thaw-e2e-private", "humanize==4.13.0", requirements=[str(listed), str(again)],
            find_links="/index/thaw-e2e-private",
        )  # fmt: skip
        found = run(image, ["iniconfig", "six", "humanize", "thaw-e2e-private"])
        self.assertEqual(found["python"], "/usr/local/bin/python")
        versions = [found[n] for n in ("iniconfig", "six", "humanize", "thaw-e2e-private")]
        self.assertEqual(versions, ["2.0.0", "1.17.0", "4.13.0", "4.2"])

    def test_a_version_of_uv_may_be_wanted(self):
        image = base.uv_pip_install("iniconfig==2.0.0", uv_version="0.8.0").run_commands(
            "/.uv/uv --version > /uv-version"
        )
        found = run(image, ["iniconfig"], ["/uv-version"])
        self.assertEqual(found["iniconfig"], "2.0.0")
        self.assertIn("uv 0.8.0", found["/uv-version"])

    def test_a_project_with_groups_and_extras_is_synced(self):
        text_file("sync/pyproject.toml", """
[project]
name = "e2e-sync"
version = "1"
requires-python = ">=3.10"
dependencies = ["iniconfig==2.0.0"]
[project.optional-dependencies]
nice = ["humanize==4.13.0"]
[dependency-groups]
tools = ["six==1.17.0"]
unused = ["toolz==1.0.0"]
""")  # fmt: skip
        image = base.uv_sync(str(FOLDER / "sync"), groups=["tools"], extras=["nice"])
        found = run(image, ["iniconfig", "humanize", "six", "toolz"])
        self.assertTrue(found["python"].startswith("/.uv/.venv/"), found["python"])
        versions = [found[name] for name in ("iniconfig", "humanize", "six", "toolz")]
        self.assertEqual(versions, ["2.0.0", "4.13.0", "1.17.0", None])


class Poetry(E2eTest):
    server = server

    def test_a_project_of_poetry_with_groups(self):
        project = text_file("poetry/pyproject.toml", """
[tool.poetry]
name = "e2e-poetry"
version = "1.0"
description = ""
authors = []
package-mode = false
[tool.poetry.dependencies]
python = "^3.10"
iniconfig = "2.0.0"
[tool.poetry.group.tools.dependencies]
six = "1.17.0"
""")  # fmt: skip
        image = base.poetry_install_from_file(
            str(project), ignore_lockfile=True, without=["tools"]
        )
        found = run(image, ["iniconfig", "six"])
        self.assertEqual((found["iniconfig"], found["six"]), ("2.0.0", None))


class Commands(E2eTest):
    server = server

    def test_a_dockerfile_of_all_that_people_write(self):
        context = FOLDER / "context"
        text_file("context/kept/one.txt", "one\n")
        text_file("context/kept/skipped.log", "not sent\n")
        text_file("context/other.txt", "other\n")
        text_file("context/.dockerignore", "**/*.log\n# a comment\n!kept/important.log\n")
        text_file("context/kept/important.log", "sent all the same\n")
        text_file("context/Dockerfile", """# syntax=docker/dockerfile:1
ARG BASE=python:3.11-slim-bookworm
ARG COLOUR=red
FROM ${BASE} AS first
ARG COLOUR
RUN <<END
set -e
mkdir -p /made
echo "of a stage, $COLOUR" > /made/stage
END
COPY <<"TEXT" /made/text
$COLOUR stays as it is
TEXT
FROM first AS unused
RUN exit 1
FROM python:3.11-slim-bookworm
COPY --from=first /made /made
COPY kept /kept
COPY --chmod=755 other.txt /other/
ENV PLACE=/kept NAME="two words"
WORKDIR ${PLACE}
RUN --mount=type=secret,id=E2E_SECRET,env=SHOWN echo "$SHOWN" | wc -c > /made/length
RUN ["/bin/sh", "-c", "ls -1 > /made/list"]
""")  # fmt: skip
        image = modal.Image.from_dockerfile(
            context / "Dockerfile", context_dir=context, build_args={"COLOUR": "blue"},
            secrets=[modal.Secret.from_dict({"E2E_SECRET": "12345"})],
        )  # fmt: skip
        files = ["/made/stage", "/made/text", "/made/list", "/made/length", "/other/other.txt"]
        found = run(image, files=files, names=["NAME", "E2E_SECRET"])
        self.assertEqual(found["/made/stage"], "of a stage, blue\n")
        self.assertEqual(found["/made/text"], "$COLOUR stays as it is\n")
        self.assertEqual(found["/made/list"].split(), ["important.log", "one.txt"])
        self.assertEqual(found["/made/length"].strip(), "6")
        self.assertEqual(found["/other/other.txt"], "other\n")
        self.assertEqual((found["NAME"], found["E2E_SECRET"]), ("two words", None))

    def test_commands_with_files_of_a_context_and_of_the_call(self):
        context = FOLDER / "small"
        text_file("small/a.txt", "of the context\n")
        text_file("small/b.tmp", "ignored\n")
        image = base.dockerfile_commands(
            ["ARG WORD=none", "COPY . /in/", "COPY /given /in/given"],
            "RUN echo $WORD > /in/word && cat /in/* > /all",
            context_files={"/given": str(text_file("given.txt", "of the call\n"))},
            context_dir=context, ignore=["*.tmp"], build_args={"WORD": "given"},
        )  # fmt: skip
        found = run(image, files=["/all", "/in/b.tmp"])
        self.assertEqual(sorted(found["/all"].splitlines()),
                         ["given", "of the call", "of the context"])  # fmt: skip
        self.assertIsNone(found["/in/b.tmp"])

    def test_a_shell_of_ones_own_and_what_env_and_workdir_say(self):
        image = (
            base.apt_install("bash").shell(["/bin/bash", "-o", "pipefail", "-c"])
            .run_commands("[[ $BASH_VERSION ]] && echo $BASH_VERSION > /bash")
            .env({"E2E_WORDS": "it's \"two\" $words"}).workdir("/some/where")
            .run_commands("pwd > /pwd", "echo $E2E_WORDS > /words")
        )  # fmt: skip
        found = run(image, files=["/bash", "/pwd", "/words"], names=["E2E_WORDS"])
        self.assertRegex(found["/bash"], r"^\d")
        self.assertEqual(found["/pwd"], "/some/where\n")
        self.assertEqual(found["E2E_WORDS"], "it's \"two\" $words")

    def test_steps_have_volumes(self):
        volume = modal.Volume.from_name("e2e-builders", create_if_missing=True)
        with volume.batch_upload(force=True) as batch:
            batch.put_file(io.BytesIO(b"of the volume\n"), "/given.txt")
        image = base.run_commands(
            "cp /data/given.txt /copied", "echo of the step > /data/left", volumes={"/data": volume}
        )
        found = run(image, files=["/copied", "/data/given.txt"])
        self.assertEqual(found["/copied"], "of the volume\n")
        self.assertIsNone(found["/data/given.txt"], "the volume is a part of the image")
        self.assertEqual(b"".join(volume.read_file("left")), b"of the step\n")
        other = modal.Volume.from_name("e2e-builders-other", create_if_missing=True)
        with self.assertRaises(modal.exception.ImageBuildError):
            build(base.run_commands("cp /data/given.txt /copied",
                                    "echo of the step > /data/left", volumes={"/data": other}))

    def test_another_value_of_a_steps_environment_is_another_image(self):
        def image(word):
            return base.run_commands("echo $E2E_WORD > /word", env={"E2E_WORD": word})

        self.assertEqual(run(image("one"), files=["/word"])["/word"], "one\n")
        self.assertEqual(run(image("two"), files=["/word"])["/word"], "two\n")
        self.assertNotIn("E2E_WORD", build(image("one"))[1])


class Cache(E2eTest):
    server = server

    def image(self, **options):
        return base.run_commands("head -c 8 /dev/urandom | od -An -tx8 > /drawn", **options)

    def test_what_is_there_is_not_built_again_unless_it_is_asked_for(self):
        drawn = run(self.image(), files=["/drawn"])["/drawn"]
        self.assertEqual(run(self.image(), files=["/drawn"])["/drawn"], drawn)
        again = run(self.image(force_build=True), files=["/drawn"])["/drawn"]
        self.assertNotEqual(again, drawn)
        # What was built last is what the next one finds.
        self.assertEqual(run(self.image(), files=["/drawn"])["/drawn"], again)

    def test_what_a_build_has_said_is_read_afterwards_layer_by_layer(self):
        # Built here and now: servers on this machine share what they build.
        nonce = secrets.token_hex()
        image = base.run_commands(f"echo the first layer speaks # {nonce}").run_commands(
            "echo the second layer speaks", "echo and shouts >&2"
        )
        identity, shown = build(image)
        self.assertIn("the second layer speaks", shown)
        last = server.modal("image", "logs", identity).stdout
        self.assertIn("the second layer speaks", last)
        self.assertIn("and shouts", last)
        self.assertNotIn("the first layer speaks", last)
        whole = server.modal("image", "logs", "--all", identity).stdout
        self.assertLess(whole.index("the first layer speaks"),
                        whole.index("the second layer speaks"))  # fmt: skip

    def test_what_a_failed_build_has_said_is_read_too(self):
        image = base.run_commands("echo before it failed", "echo as it failed >&2; exit 3")
        with self.assertRaises(modal.exception.ImageBuildError):
            build(image)
        said = "".join(entry.message for entry in image.logs.fetch())
        self.assertIn("before it failed", said)
        self.assertIn("as it failed", said)


class Names(E2eTest):
    server = server

    def listed(self, *options):
        shown = server.modal("image", "names", "list", "--json", *options).stdout
        return {item["tag"]: item["image_id"] for item in json.loads(shown)}

    def test_an_image_is_published_found_listed_and_its_name_deleted(self):
        one, _ = build(base.run_commands("echo one > /edition"))
        two_image = base.run_commands("echo two > /edition")
        two, _ = build(two_image)
        modal.Image.from_id(one).publish("e2e-named")
        modal.Image.from_id(one).publish("e2e-named:v1")
        modal.Image.from_id(two).publish("e2e-named")
        both = {"e2e-named:latest": two, "e2e-named:v1": one}
        self.assertEqual(self.listed("--prefix", "e2e-named"), both)
        self.assertEqual(self.listed("--prefix", "e2e-named:v"), {"e2e-named:v1": one})
        named = modal.Image.from_name("e2e-named")
        self.assertEqual(run(named, files=["/edition"])["/edition"], "two\n")
        more = modal.Image.from_name("e2e-named:v1").run_commands("cp /edition /copied")
        self.assertEqual(run(more, files=["/copied"])["/copied"], "one\n")
        history = json.loads(
            server.modal("image", "names", "history", "--json", "e2e-named").stdout
        )
        self.assertEqual([item["image_id"] for item in history], [two, one])
        server.modal("image", "names", "delete", "e2e-named:v1", "--yes")
        self.assertEqual(self.listed("--prefix", "e2e-named"), {"e2e-named:latest": two})
        with self.assertRaisesRegex(modal.exception.NotFoundError, "e2e-named:v1"):
            run(modal.Image.from_name("e2e-named:v1"))

    def test_names_are_those_of_an_environment_and_go_with_it(self):
        server.modal("environment", "create", "e2e-pictures")
        identity, _ = build(base.run_commands("echo there > /edition"))
        modal.Image.from_id(identity).publish("e2e-pictures/framed:v2")
        self.assertEqual(self.listed("--env", "e2e-pictures"), {"framed:v2": identity})
        self.assertNotIn("framed:v2", self.listed())
        there = modal.Image.from_name("framed:v2", environment_name="e2e-pictures")
        self.assertEqual(run(there, files=["/edition"])["/edition"], "there\n")
        server.modal("environment", "delete", "e2e-pictures", "--yes")
        server.modal("environment", "create", "e2e-pictures")
        self.assertEqual(self.listed("--env", "e2e-pictures"), {})

    def test_names_outlive_the_server(self):
        identity, _ = build(base.run_commands("echo kept > /edition"))
        modal.Image.from_id(identity).publish("e2e-kept")
        server.kill()
        server.start()
        self.assertEqual(self.listed()["e2e-kept:latest"], identity)
        server.modal("image", "names", "delete", "e2e-kept:latest", "--yes")

    def test_a_folder_is_built_and_an_image_pulled_by_the_command_line(self):
        text_file("cli/Dockerfile", "FROM python:3.11-slim-bookworm\nCOPY a.txt /a.txt\n")
        text_file("cli/a.txt", "by the command line\n")
        done = server.modal("image", "build", "-t", "e2e-cli:v1", FOLDER / "cli")
        self.assertIn("e2e-cli:v1", done.stdout + done.stderr)
        found = run(modal.Image.from_name("e2e-cli:v1"), files=["/a.txt"])
        self.assertEqual(found["/a.txt"], "by the command line\n")
        done = server.modal("image", "pull", "docker.io/python:3.11-slim-bookworm",
                            "--name", "e2e-pulled")  # fmt: skip
        self.assertEqual(run(modal.Image.from_name("e2e-pulled"))["version"], [3, 11])
        for name in ("e2e-cli:v1", "e2e-pulled:latest"):
            server.modal("image", "names", "delete", name, "--yes")

    def test_names_that_are_none_are_refused(self):
        identity, _ = build(base.run_commands("echo x > /edition"))
        import modal_proto.api_pb2 as pb

        for tag in ("", "a b", "a:b:c", "im-x", "x/y/z", "/a", "a" * 100, "e2e-absent/a"):
            with self.assertRaises(Exception, msg=tag) as caught:
                server.rpc("ImagePublish", pb.ImagePublishRequest(image_id=identity, tag=tag))
            self.assertIn(caught.exception.status.name, ("INVALID_ARGUMENT", "NOT_FOUND"), tag)
        with self.assertRaisesRegex(modal.exception.NotFoundError, "im-absent"):
            modal.Image.from_id("im-absent").publish("e2e-of-nothing")

    def test_an_image_is_deleted_unless_it_is_in_use(self):
        import modal_proto.api_pb2 as pb

        identity, _ = build(base.run_commands("echo to be deleted > /edition"))
        modal.Image.from_id(identity).publish("e2e-in-use")
        with self.assertRaises(Exception) as caught:
            server.rpc("ImageDelete", pb.ImageDeleteRequest(image_id=identity))
        self.assertEqual(caught.exception.status.name, "FAILED_PRECONDITION")
        server.modal("image", "names", "delete", "e2e-in-use:latest", "--yes")
        server.rpc("ImageDelete", pb.ImageDeleteRequest(image_id=identity))
        with self.assertRaises(Exception) as caught:
            server.rpc("ImageFromId", pb.ImageFromIdRequest(image_id=identity))
        self.assertEqual(caught.exception.status.name, "NOT_FOUND")
        # Who asks for it again has it again.
        self.assertEqual(build(base.run_commands("echo to be deleted > /edition"))[0], identity)


class Bases(E2eTest):
    server = server

    def test_conda_is_refused_with_what_would_be_needed(self):
        image = modal.Image.micromamba(python_version="3.11").micromamba_install("numpy")
        with self.assertRaises(modal.exception.Error) as caught:
            build(image)
        self.assertIn("mambaorg/micromamba", str(caught.exception))
        self.assertIn("[images] default_registry", str(caught.exception))

    def test_an_empty_image_is_an_image_and_no_place_for_a_function(self):
        image = modal.Image.from_scratch().dockerfile_commands("ENV E2E=1")
        build(image)
        with self.assertRaisesRegex(Exception, "(?i)python"):
            run(image)

    def test_pythons_that_are_not_there_are_the_nearest_and_say_so(self):
        identity, _ = build(modal.Image.debian_slim(python_version="3.13"))
        self.assertTrue(identity.startswith("im-"))
        with self.assertRaisesRegex(Exception, "(?s)Python 3.1[23].*3.1[13]"):
            run(modal.Image.debian_slim(python_version="3.12"))

    def test_each_recipe_version_of_the_client_builds(self):
        for version in ("2024.10", "2025.06", "2026.10"):
            with self.subTest(version):
                program = text_file(f"recipe_{version[:4]}.py", """
import modal
app = modal.App("e2e-recipe")
image = modal.Image.debian_slim(python_version="3.11").pip_install("iniconfig==2.0.0")
@app.function(image=image)
def look():
    import iniconfig
    print("it has", iniconfig.__file__)
""")  # fmt: skip
                done = server.modal("run", program,
                                    env={"MODAL_IMAGE_BUILDER_VERSION": version})  # fmt: skip
                self.assertRegex(done.stdout, re.compile("^it has /.*iniconfig", re.M))


if __name__ == "__main__":
    main()
