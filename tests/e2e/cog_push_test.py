#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Folders of Cog become models, which the real cog package serves."""
import base64
import http.client
import json
import pathlib
import subprocess
import tempfile
import textwrap
import uuid

from thaw_server import (
    BUILD_TIMEOUT, CALL_TIMEOUT, ROOT, THAW_BIN, E2eTest, ThawServer, main, wait_until,
)  # fmt: skip

# What stands by is standby_test.py's.
server = ThawServer.for_module(config="[cold_start]\nstandby_s = 0\n")

EXAMPLE = ROOT / "examples" / "cog"
PREDICT = "predict: predict.py:Predictor\n"
YAML = PREDICT + "build:\n  python_version: \"3.11\"\n"
PREDICTOR = "from cog import *\nclass Predictor(BasePredictor):\n"
ECHO = PREDICTOR + "    def predict(self, text: str) -> str:\n        return text\n"


def thaw(*arguments, check=True, timeout=CALL_TIMEOUT):
    done = subprocess.run([str(THAW_BIN), *map(str, arguments), "--server", str(server.data)],
                          capture_output=True, text=True, timeout=timeout)  # fmt: skip
    if check and done.returncode != 0:
        raise AssertionError(f"{arguments} ended with {done.returncode}: {done.stderr}")
    return done


def json_of(*arguments):
    return json.loads(thaw(*arguments, "--json").stdout)


class Folder:
    """A folder of these files, for as long as it is needed."""

    def __init__(self, predict=ECHO, yaml=YAML, **files):
        self.files = {"predict.py": predict, "cog.yaml": yaml, **files}

    def __enter__(self):
        self.temporary = tempfile.TemporaryDirectory()
        folder = pathlib.Path(self.temporary.name)
        for name, text in self.files.items():
            if text is not None:
                (folder / name).write_text(textwrap.dedent(text))
        return folder

    def __exit__(self, *_):
        self.temporary.cleanup()


def push(folder, name, *options, check=True):
    return thaw("push", folder, name, *options, check=check, timeout=BUILD_TIMEOUT)


def push_files(name, *options, check=True, **files):
    with Folder(**files) as folder:
        return push(folder, name, *options, check=check)


def post(function, path, body, headers=None, timeout=CALL_TIMEOUT):
    """(status, body) through /fn/FUNCTION"""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=timeout)
    try:
        connection.request("POST", f"/fn/{function}{path}", json.dumps(body),
                           {"content-type": "application/json", **(headers or {})})  # fmt: skip
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def predict(function, **inputs):
    status, body = post(function, "/predictions", {"input": inputs})
    if status != 200:
        raise AssertionError(f"{function} answered {status}: {body}")
    return json.loads(body)


class CogPush(E2eTest):
    server = server

    def test_the_example_streams_its_words_and_says_what_goes_in(self):
        said = push(EXAMPLE, "ada/continue").stdout
        self.assertIn("preset   cog (the folder has a cog.yaml), port 5000", said)
        self.assertIn("model    ada/continue, private", said)
        answer = predict("ada-continue", prompt="the quick", words=3)
        self.assertEqual(answer["status"], "succeeded")
        self.assertEqual(answer["output"][0], "the quick")
        self.assertEqual(len(answer["output"]), 4)
        status, body = post("ada-continue", "/predictions", {"input": {"prompt": "the"}},
                            {"accept": "text/event-stream"})  # fmt: skip
        self.assertEqual(status, 200)
        # The package leaves out outputs that come faster than its stream; its end is always told.
        self.assertIn(b"event: completed", body)
        # By the schema that the build has made: cog itself makes none while it serves.
        status, body = post("ada-continue", "/predictions", {"input": {"words": 0}})
        self.assertEqual(status, 422)
        view = json_of("model", "show", "ada/continue")
        self.assertEqual((view["owner"], view["name"]), ("ada", "continue"))
        latest = view["latest_version"]
        self.assertTrue(latest["streams"])
        self.assertTrue(latest["made_with"].startswith("0.23."), latest)
        self.assertRegex(latest["id"], "^[0-9a-f]{64}$")
        schemas = latest["schema"]["components"]["schemas"]
        self.assertEqual(schemas["Input"]["required"], ["prompt"])
        self.assertEqual(schemas["Input"]["properties"]["words"]["maximum"], 200)
        self.assertEqual(schemas["Output"]["x-cog-array-display"], "concatenate")
        shown = thaw("model", "show", "ada/continue").stdout
        self.assertIn("How many words more", shown)

    def test_a_folder_gets_what_it_asks_for(self):
        # Built for this run: what a build says of its base is not said of an image that is there.
        asks = f"""\
            build:
              python_version: "3.12"
              system_packages: [tree]
              python_requirements: requirements.txt
              run:
                - echo built > /built; true {uuid.uuid4().hex}
                - command: test -x /usr/bin/tree
              cuda: "12.4"
            environment:
              - GREETING=say "hi" for $HOME
            concurrency:
              max: 2
            predict: predict.py:Predictor
            train: train.py:train
            """
        predictor = PREDICTOR + """\
    async def predict(self, name: str = "x") -> dict:
        import os, inflect
        return {"env": os.environ["GREETING"], "file": open("/built").read().strip(),
                "words": inflect.engine().number_to_words(42), "most":
                os.environ["COG_MAX_CONCURRENCY"]}
"""
        done = push_files("asks", predict=predictor, yaml=asks,
                          **{"requirements.txt": "inflect\n"})  # fmt: skip
        self.assertIn("cog.yaml, line 8: build.cuda has no effect here", done.stderr)
        self.assertIn("3.12", done.stderr)  # and that it is the nearest one
        output = predict("asks")["output"]
        self.assertEqual(output, {"env": 'say "hi" for $HOME', "file": "built",
                                  "words": "forty-two", "most": "2"})  # fmt: skip
        self.assertEqual(json_of("function", "show", "asks")["concurrency"], 2)
        self.assertTrue(json_of("model", "show", "asks")["latest_version"]["trains"])

    def test_files_come_out_and_go_in(self):
        predictor = PREDICTOR + """\
    def predict(self, image: Path) -> Path:
        with open("/tmp/out.txt", "w") as out:
            out.write(open(image).read().upper())
        return Path("/tmp/out.txt")
"""
        push_files("files", predict=predictor)
        sent = "data:text/plain;base64," + base64.b64encode(b"hello").decode()
        output = predict("files", image=sent)["output"]
        self.assertEqual(base64.b64decode(output.split(",", 1)[1]), b"HELLO")
        schema = json_of("model", "show", "files")["latest_version"]["schema"]["components"]
        self.assertEqual(schema["schemas"]["Input"]["properties"]["image"]["format"], "uri")
        self.assertEqual(schema["schemas"]["Output"]["format"], "uri")

    def test_a_setup_that_fails_is_no_ready_model(self):
        predictor = PREDICTOR + """\
    def setup(self):
        raise RuntimeError("the weights are not there")
    def predict(self, text: str) -> str:
        return text
"""
        push_files("breaks", "--no-snapshot", predict=predictor)
        status, body = post("breaks", "/predictions", {"input": {"text": "a"}})
        self.assertGreaterEqual(status, 500)
        self.assertIn(b"SETUP_FAILED", body)
        # The server of cog writes its log to stderr, and so does whoever shows it.
        self.assertIn("the weights are not there", thaw("logs", "breaks").stderr)

    def test_a_predictor_that_cannot_be_served_is_refused_as_it_is_pushed(self):
        no_types = PREDICTOR + "    def predict(self, text):\n        return text\n"
        no_input = PREDICTOR + "    def predict(self, text) -> str:\n        return text\n"
        no_import = "import no_such_package\nfrom no_such_package import Base\n" \
                    "class Predictor(Base):\n    def predict(self, a: Base) -> str: ...\n"
        for predictor, reason in [
            (no_types, "predict() does not say what it returns"),
            (no_input, "does not say of which type its input text is"),
            (no_import, "No module named 'no_such_package'"),
            ("class Other: pass\n", "it has no Predictor"),
            ("def predict(:\n", "line 1"),
            ("import os\nos._exit(0)\n", "it says in no schema what goes in"),
        ]:
            with self.subTest(reason):
                done = push_files("unserved", predict=predictor, check=False)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(reason, done.stderr)
        self.assertNotEqual(thaw("model", "show", "unserved", check=False).returncode, 0)

    def test_a_million_lines_hold_up_nobody(self):
        predictor = PREDICTOR + """\
    def setup(self):
        print("\\n".join(f"a line of the setup, number {i}" for i in range(100_000)))
    def predict(self, lines: int) -> int:
        print("\\n".join(f"line {i}" for i in range(lines)))
        return lines
"""
        push_files("talks", "--no-snapshot", predict=predictor)
        # Its health check has all lines of the setup in its answer.
        self.assertEqual(predict("talks", lines=1_000_000)["output"], 1_000_000)
        self.assertEqual(predict("talks", lines=1)["output"], 1)

    def test_what_a_cog_yaml_must_not_say_is_named_with_its_line(self):
        bomb = "a0: &a0 [x, x]\n" + "".join(
            f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 64))
        for yaml, reason in [
            ("#" * (10 << 20), "has more than 262144 bytes"),
            (bomb, "line 2: aliases"),
            ("predict: [a\n", "cog.yaml, line "),
            ("build:\n  gpu: maybe\n" + PREDICT, "line 2: build.gpu is to be true or false"),
            ("predict: ../../etc/passwd.py:P\n", "the folder has no such file"),
            ("build:\n  python_requirements: ../../../etc/passwd\n" + PREDICT, "no such file"),
            ("build:\n  system_packages: ['a; reboot']\n" + PREDICT, "which is no package"),
            ("build:\n  run: [{command: a, mounts: []}]\n" + PREDICT, "build.run.mounts"),
            ("build: {}\n", "names no predictor"),
        ]:
            with self.subTest(reason):
                done = push_files("hostile", yaml=yaml, check=False)
                self.assertEqual(done.returncode, 1)
                self.assertIn(reason, done.stderr)

    def test_links_do_not_lead_out_of_the_folder(self):
        with Folder() as folder:
            (folder / "secret.txt").symlink_to("/etc/shadow")
            (folder / "cog_requirements").symlink_to("/etc")
            done = push(folder, "linked")
        self.assertIn("secret.txt", done.stderr)
        self.assertEqual(predict("linked", text="a")["output"], "a")

    def test_each_push_is_a_version_and_one_can_go_back(self):
        for number in (1, 2, 3):
            push_files("ages:v%d" % number, "--keep-versions", "2", "--no-snapshot",
                       predict=ECHO.replace("return text", f"return '{number}'"))  # fmt: skip
        view = json_of("model", "show", "ages")
        # The oldest one stays too: a tag names it.
        self.assertEqual([one["latest"] for one in view["versions"]], [True, False, False])
        self.assertEqual(predict("ages", text="")["output"], "3")
        self.assertEqual(predict("ages@v1", text="")["output"], "1")
        said = thaw("model", "rollback", "ages").stdout
        self.assertIn(view["versions"][1]["id"][:12], said)
        self.assertEqual(predict("ages", text="")["output"], "2")
        thaw("model", "rollback", "ages", view["versions"][2]["id"][:16])
        self.assertEqual(predict("ages", text="")["output"], "1")
        done = thaw("model", "rollback", "ages", check=False)
        self.assertIn("no version before the latest one is kept", done.stderr)
        self.assertNotEqual(thaw("model", "rollback", "ages", "zz", check=False).returncode, 0)
        # What is pushed is the latest again.
        push_files("ages", "--keep-versions", "2", "--no-snapshot",
                   predict=ECHO.replace("return text", "return '4'"))  # fmt: skip
        self.assertEqual(predict("ages", text="")["output"], "4")
        listed = json_of("model", "list")["models"]
        self.assertIn("ages", [one["name"] for one in listed])

    def test_versions_that_nothing_names_are_dropped(self):
        for number in (1, 2, 3):
            push_files("drops", "--keep-versions", "2", "--no-snapshot",
                       predict=ECHO + f"# {number}\n")  # fmt: skip
        wait_until(lambda: len(json_of("model", "show", "drops")["versions"]) == 2, 60,
                   "the oldest one is dropped")  # fmt: skip

    def test_a_name_that_is_anothers_is_refused(self):
        push_files("one/same-name", "--no-snapshot")
        done = push_files("one-same/name", "--no-snapshot", check=False)
        self.assertIn("is the model one/same-name", done.stderr)
        for name in ("a/b/c", "../b", "a/", "a b"):
            self.assertEqual(push_files(name, check=False).returncode, 1)

    def test_a_description_stays_until_another_one_is_said(self):
        push_files("told", "--description", "says it again", "--visibility", "public",
                   "--no-snapshot")  # fmt: skip
        push_files("told", "--no-snapshot", predict=ECHO + "# changed\n")
        view = json_of("model", "show", "told")
        self.assertEqual(view["description"], "says it again")
        self.assertEqual(view["visibility"], "public")

    def test_it_is_written_at_ready_and_later_containers_are_restored(self):
        if not pathlib.Path("/usr/local/lib/thaw/criu/criu").exists():
            self.skipTest("there is no criu; tools/setup installs it")
        push(EXAMPLE, "restored", "--idle", "1")
        self.assertEqual(json_of("function", "show", "restored")["snapshot"], "ready")

        def levels():
            predict("restored", prompt="the", words=1)
            wait_until(lambda: not [view for view in server.running()
                                    if view["function"] == "restored"], 60, "zero")  # fmt: skip
            return {view["started_by"] for view in server.starts()
                    if view["function"] == "restored"}  # fmt: skip

        wait_until(lambda: "L3" in levels(), 120, "a container is restored")
        self.assertEqual(predict("restored", prompt="the", words=2)["status"], "succeeded")

    def test_what_another_workspace_has_is_not_there(self):
        push_files("mine", "--no-snapshot")
        thaw("workspace", "create", "others")
        token = json_of("token", "create", "stranger", "--workspace", "others")
        headers = {"authorization": f"Bearer {token['token']}:{token['secret']}"}

        def asked(method, path, body=None):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

        home = json_of("model", "show", "mine")["owner"]
        self.assertEqual(asked("GET", "/api/v1/models"), (200, {"models": []}))
        self.assertEqual(asked("GET", f"/api/v1/models/{home}/mine")[0], 404)
        self.assertEqual(
            asked("PUT", f"/api/v1/models/{home}/mine/latest", '{"version": ""}')[0], 404)

    def test_zz_a_death_in_the_middle_of_a_push_leaves_what_was_there(self):
        push_files("survives", "--no-snapshot")
        before = json_of("model", "show", "survives")
        slow = YAML + "  run: ['echo it sleeps now; sleep 30']\n"
        with Folder(yaml=slow) as folder:
            pushing = subprocess.Popen(
                [str(THAW_BIN), "push", str(folder), "survives", "--server", str(server.data)],
                stderr=subprocess.PIPE, text=True)  # fmt: skip
            for line in pushing.stderr:
                if "it sleeps now" in line:
                    break
            server.kill()
            rest = pushing.communicate(timeout=CALL_TIMEOUT)[1]
            self.assertNotEqual(pushing.returncode, 0, rest)
        server.start()
        self.assertEqual(json_of("model", "show", "survives")["versions"], before["versions"])
        self.assertEqual(predict("survives", text="still")["output"], "still")
        push_files("survives", "--no-snapshot", predict=ECHO + "# again\n")
        self.assertEqual(len(json_of("model", "show", "survives")["versions"]), 2)


if __name__ == "__main__":
    main()
