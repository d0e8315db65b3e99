#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The unmodified clients of Workers AI: for Python and JavaScript, and a Worker's binding."""
import http.client
import json
import os
import pathlib
import shlex
import shutil
import socket
import subprocess
import tempfile
import textwrap
import urllib.error
import urllib.request

from thaw_server import (
    APPS, BUILD_TIMEOUT, CALL_TIMEOUT, ROOT, THAW_BIN, E2eTest, ThawServer, main,
)  # fmt: skip

server = ThawServer.for_module()
PROGRAMS = pathlib.Path(__file__).resolve().parent / "workers_ai_js"
LLAMA, WHISPER, BGE, RESNET, M2M, CHAT, SAYS, PIXELS = (
    "@cf/meta/llama-3.1-8b-instruct", "@cf/openai/whisper", "@cf/baai/bge-base-en-v1.5",
    "@cf/microsoft/resnet-50", "@cf/meta/m2m100-1.2b", "@cf/own/chat", "@cf/own/says",
    "@cf/own/pixels",
)  # fmt: skip


def thaw(*arguments, timeout=CALL_TIMEOUT, check=True):
    done = subprocess.run([str(THAW_BIN), *map(str, arguments), "--server", str(server.data)],
                          capture_output=True, text=True, timeout=timeout)  # fmt: skip
    if check and done.returncode != 0:
        raise AssertionError(f"{arguments} ended with {done.returncode}: {done.stderr}")
    return done.stdout if check else done


# No snapshots: they are not what this is about.
for folder, name in ((ROOT / "examples/cog", "ada/goes-on"), (APPS / "workers_ai", "ada/tasks"),
                     (APPS / "replicate", "ada/says"), (APPS / "replicate_files", "ada/files"),
                     (APPS / "workers_ai_server", "chats")):  # fmt: skip
    thaw("push", folder, name, "--no-snapshot", "--max", "1", timeout=BUILD_TIMEOUT)
for alias, target in ((LLAMA, "ada/goes-on"), (WHISPER, "ada/tasks"), (BGE, "ada/tasks"),
                      (RESNET, "ada/tasks"), (M2M, "ada/tasks"), (CHAT, "chats"),
                      (SAYS, "ada/says"), (PIXELS, "ada/files")):  # fmt: skip
    thaw("model", "alias", alias, target)


def environment():
    """What `eval "$(thaw env)"` adds to a shell that knows nothing."""
    told = {}
    for line in thaw("env").splitlines():
        words = shlex.split(line)
        if words[:1] == ["export"]:
            name, _, value = words[1].partition("=")
            told[name] = value
    return {"PATH": os.environ["PATH"], "HOME": str(server.folder), **told}


ENVIRONMENT = environment()
CLIENT = subprocess.run([ROOT / "tools/client", "tests/clients/cloudflare.txt"], check=True,
                        cwd=ROOT, stdout=subprocess.PIPE, text=True)  # fmt: skip
PYTHON = pathlib.Path(CLIENT.stdout.strip().splitlines()[-1]) / "python"


def python(program):
    """What a program prints that has `client` and `run(model, **inputs)`; read as JSON."""
    before = """\
        import json, os, cloudflare
        client = cloudflare.Cloudflare()
        account = os.environ["CLOUDFLARE_ACCOUNT_ID"]
        def run(model, **inputs):
            return client.ai.run(model, account_id=account, **inputs)
        def plain(value):
            if isinstance(value, list):
                return [plain(one) for one in value]
            return value if isinstance(value, dict) else value.model_dump(exclude_none=True)
    """
    text = textwrap.dedent(before) + textwrap.dedent(program)
    done = subprocess.run([PYTHON, "-c", text], env=ENVIRONMENT, capture_output=True, text=True,
                          timeout=CALL_TIMEOUT)  # fmt: skip
    if done.returncode != 0:
        raise AssertionError(f"the program ended with {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)


def connect():
    return http.client.HTTPConnection("127.0.0.1", server.port, timeout=CALL_TIMEOUT)


def begin(connection, method, path, body=None, headers=None, token=None):
    token = ENVIRONMENT["CLOUDFLARE_API_TOKEN"] if token is None else token
    raw = body if body is None or isinstance(body, (bytes, str)) else json.dumps(body)
    connection.request(method, f"/client/v4/accounts/any/ai/{path}", raw,
                       {"authorization": f"Bearer {token}", "content-type": "application/json",
                        **(headers or {})})  # fmt: skip
    return connection.getresponse()


def ask(method, path, body=None, headers=None, token=None):
    """(status, content type, body) of one request to the API."""
    connection = connect()
    try:
        answer = begin(connection, method, path, body, headers, token)
        return answer.status, answer.getheader("content-type"), answer.read()
    finally:
        connection.close()


def asked(method, path, body=None, **options):
    """(status, JSON)"""
    status, _, text = ask(method, path, body, **options)
    return status, json.loads(text)


def events(text):
    return [line[6:] for line in text.decode().splitlines() if line.startswith("data: ")]


class Python(E2eTest):
    server = server

    def test_text_is_generated(self):
        told = python(f"""\
            one = run("{LLAMA}", prompt="the quick")
            two = run("{LLAMA}", messages=[{{"role": "system", "content": "Be brief"}},
                                           {{"role": "user", "content": "the lazy"}}])
            print(json.dumps([plain(one)["response"], plain(two)["response"]]))
        """)
        self.assertTrue(told[0].startswith("the quick "), told)
        self.assertIn("the lazy ", told[1])

    def test_every_task_has_its_form(self):
        told = python(f"""\
            print(json.dumps([
                plain(run("{BGE}", text=["a", "four"])),
                plain(run("{WHISPER}", audio=list(b"RIFF....WAVEmore"))),
                plain(run("{RESNET}", image=list(b"\\x89PNG...."))),
                plain(run("{M2M}", text="hello", target_lang="fr")),
            ]))
        """)
        self.assertEqual(told[0]["data"], [[1, 0.5, -1], [4, 0.5, -1]])
        self.assertEqual(told[0]["shape"], [2, 3])
        self.assertEqual(told[1]["text"], "heard 16 bytes")
        self.assertEqual([one["label"] for one in told[2]], ["large", "small"])
        self.assertEqual(told[3]["translated_text"], "hello in fr")

    def test_a_server_of_language_models_answers_too(self):
        told = python(f"""\
            said = run("{CHAT}", messages=[{{"role": "user", "content": "hi"}}])
            rows = run("{CHAT}", text=["one", "three"])
            print(json.dumps([plain(said), plain(rows)["data"]]))
        """)
        self.assertEqual(told[0]["response"], "you said hi")
        self.assertEqual(told[0]["usage"]["total_tokens"], 4)
        self.assertEqual(told[1], [[3, 1], [5, 1]])

    def test_a_name_that_nothing_answers_to_says_what_to_do(self):
        told = python("""\
            try:
                run("@cf/no/model", prompt="x")
            except cloudflare.BadRequestError as error:
                print(json.dumps([error.errors[0].code, error.errors[0].message]))
        """)
        self.assertEqual(told[0], 5007)
        self.assertIn("thaw model alias @cf/no/model OWNER/MODEL", told[1])

    def test_models_schemas_and_tasks_are_listed(self):
        told = python(f"""\
            print(json.dumps([
                [one["name"] for one in client.ai.models.list(account_id=account, search="WHISP")],
                client.ai.models.schema.get(account_id=account, model="{LLAMA}"),
                [one["name"] for one in client.ai.tasks.list(account_id=account)],
            ], default=plain))
        """)
        self.assertEqual(told[0], [WHISPER])
        self.assertIn("prompt", told[1]["input"]["properties"])
        self.assertIn("Text Generation", told[2])


class Api(E2eTest):
    server = server

    def test_pieces_come_as_events_and_end_with_done(self):
        for model in (LLAMA, CHAT):
            with self.subTest(model=model):
                status, kind, text = ask("POST", f"run/{model}", {"prompt": "the", "stream": True})
                self.assertEqual((status, kind), (200, "text/event-stream"), text)
                *pieces, done = events(text)
                self.assertEqual(done, "[DONE]")
                said = "".join(json.loads(one).get("response", "") for one in pieces)
                self.assertIn("the", said)
                self.assertGreater(len(pieces), 2)

    def test_a_file_is_answered_as_its_bytes(self):
        status, kind, body = ask("POST", f"run/{PIXELS}", {"prompt": "x", "mode": "image"})
        self.assertEqual((status, kind), (200, "image/png"), body[:200])
        self.assertTrue(body.startswith(b"\x89PNG"))
        # One that is too large to be kept beside the call.
        status, _, body = ask("POST", f"run/{PIXELS}", {"prompt": "ab", "mode": "large"})
        self.assertEqual((status, len(body)), (200, 2_000_000))

    def test_a_file_may_be_the_body_or_a_part_of_a_form(self):
        said = asked("POST", f"run/{WHISPER}", b"RIFF....WAVEmore",
                     headers={"content-type": "audio/wav"})  # fmt: skip
        self.assertEqual(said[1]["result"]["text"], "heard 16 bytes")
        form = (b'--B\r\ncontent-disposition: form-data; name="audio"; filename="a.wav"\r\n'
                b"content-type: audio/wav\r\n\r\nRIFF....WAVE\r\n--B--\r\n")
        said = asked("POST", f"run/{WHISPER}", form,
                     headers={"content-type": "multipart/form-data; boundary=B"})  # fmt: skip
        self.assertEqual(said[1]["result"]["text"], "heard 12 bytes")

    def test_chats_and_embeddings_as_clients_of_openai_ask(self):
        user = [{"role": "user", "content": "hello"}]
        for model, answer in ((CHAT, "you said hello"), (SAYS, "hello 0 hello 1 ")):
            with self.subTest(model=model):
                body = {"model": model, "messages": user}
                status, told = asked("POST", "v1/chat/completions", body)
                self.assertEqual((status, told["model"]), (200, model), told)
                self.assertEqual(told["choices"][0]["message"]["content"], answer)
                status, kind, text = ask("POST", "v1/chat/completions", {**body, "stream": True})
                self.assertEqual((status, kind), (200, "text/event-stream"), text)
                *chunks, done = [one for one in events(text)]
                chunks = [json.loads(one) for one in chunks]
                self.assertEqual(done, "[DONE]")
                said = [one["choices"][0]["delta"].get("content") or "" for one in chunks]
                self.assertEqual("".join(said), answer)
                self.assertEqual({one["model"] for one in chunks}, {model})
        for model, first in ((CHAT, [3, 1]), (BGE, [3, 0.5, -1])):
            status, told = asked("POST", "v1/embeddings", {"model": model, "input": ["one", "x"]})
            self.assertEqual(status, 200, told)
            self.assertEqual(told["data"][0]["embedding"], first)
            self.assertEqual(len(told["data"]), 2)

    def test_tools_go_in_and_calls_come_out(self):
        status, told = asked("POST", f"run/{CHAT}", {
            "messages": [{"role": "user", "content": "x"}],
            "tools": [{"name": "f", "description": "d", "parameters": {"type": "object"}}],
        })  # fmt: skip
        self.assertEqual(status, 200, told)
        self.assertEqual(told["result"]["tool_calls"],
                         [{"id": "c1", "name": "f", "arguments": {"x": 1}}])  # fmt: skip

    def test_bad_requests_are_refused_by_name(self):
        for body, status, code in (
            ("", 400, 5006), ("{", 400, 5006), ("[]", 400, 5006), ("7", 400, 5006),
            ({}, 400, 5006), ({"prompt": 7}, 400, 5006), ({"prompt": "x", "stream": 1}, 400, 5006),
            ({"audio": [1]}, 400, 5006), ({"messages": [7]}, 400, 5006),
            ({"prompt": "x", "words": 0}, 400, 5006), ({"prompt": "", "words": 1}, 400, 5006),
            ({"prompt": "x", "queueRequest": True}, 501, 5005),
            ("[" * 100_000, 400, 5006), (b"\xff\xfe{", 400, 5006),
            ('{"prompt": "x", "words": ' + "[" * 1_000_000 + "]" * 1_000_000 + "}", 400, 5006),
        ):  # fmt: skip
            with self.subTest(body=str(body)[:50]):
                got, told = asked("POST", f"run/{LLAMA}", body)
                self.assertEqual((got, told["errors"][0]["code"]), (status, code), told)
                self.assertFalse(told["success"])
        self.assertEqual(asked("GET", f"run/{LLAMA}")[0], 405)
        self.assertEqual(asked("GET", "nothing")[1]["errors"][0]["code"], 7003)
        self.assertEqual(asked("GET", "models/search?page=0")[0], 400)
        self.assertEqual(asked("GET", "models/search?page=99999999999999999999")[0], 400)
        self.assertEqual(asked("GET", "models/search?page=999999999")[1]["result"], [])
        for path in ("v1/responses", "tomarkdown"):
            self.assertEqual(asked("POST", path, {})[0], 501)
        for body in ({}, {"model": 7}, {"model": CHAT}, {"model": CHAT, "messages": 7}):
            self.assertEqual(asked("POST", "v1/chat/completions", body)[0], 400)

    def test_a_body_that_is_too_large_is_refused(self):
        connection = connect()
        connection.putrequest("POST", f"/client/v4/accounts/a/ai/run/{LLAMA}")
        connection.putheader("authorization", "Bearer " + ENVIRONMENT["CLOUDFLARE_API_TOKEN"])
        connection.putheader("content-length", str(200 << 20))
        connection.endheaders()
        answer = connection.getresponse()
        told = json.loads(answer.read())
        connection.close()
        self.assertEqual((answer.status, told["errors"][0]["code"]), (413, 3006))

    def test_a_failure_is_the_models_own(self):
        for model, body in ((SAYS, {"prompt": "x", "mode": "fail"}), (CHAT, {"prompt": "fail"})):
            for stream in (False, True):
                status, told = asked("POST", f"run/{model}", {**body, "stream": stream})
                self.assertEqual((status, told["errors"][0]["code"]), (500, 3043), told)
        self.assertEqual(asked("POST", f"run/{CHAT}", {"prompt": "refuse"})[0], 400)

    def test_a_container_that_dies_in_the_middle_ends_the_stream_with_an_error(self):
        status, _, text = ask("POST", f"run/{CHAT}", {"prompt": "die", "stream": True})
        # The end of the container may be known before its first word is.
        self.assertIn(status, (200, 500), text)
        told = events(text) if status == 200 else [text]
        self.assertNotIn("[DONE]", told)
        if len(told) > 1:
            self.assertEqual(json.loads(told[0]), {"response": "you"})
        self.assertFalse(json.loads(told[-1])["success"])
        self.assertEqual(asked("POST", f"run/{CHAT}", {"prompt": "hi"})[0], 200)

    def test_a_caller_that_leaves_frees_the_model(self):
        connection = connect()
        answer = begin(connection, "POST", f"run/{SAYS}",
                       {"prompt": "x", "mode": "slow", "count": 1000, "stream": True})  # fmt: skip
        self.assertTrue(answer.readline().startswith(b"data: "))
        answer.close()
        connection.close()
        # It takes one at a time: whoever comes next waits until it has left the other.
        status, told = asked("POST", f"run/{SAYS}", {"prompt": "y"})
        self.assertEqual((status, told["result"]["response"]), (200, "y 0 y 1 "))

    def test_a_slow_reader_holds_the_model_and_gets_all(self):
        connection = connect()
        connection.connect()
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
        answer = begin(connection, "POST", f"run/{CHAT}", {"prompt": "flood", "stream": True})
        first = answer.read(64)
        # Others are answered meanwhile.
        self.assertEqual(asked("POST", f"run/{LLAMA}", {"prompt": "x"})[0], 200)
        told = events(first + answer.read())
        connection.close()
        self.assertEqual(told[-1], "[DONE]")
        said = sum(len(json.loads(one)["response"]) for one in told[:-1])
        self.assertEqual(said, 50_000_000)


class Aliases(E2eTest):
    server = server

    def test_they_are_set_listed_and_removed(self):
        said = thaw("model", "alias", "@cf/some/model", "ada/says", "--task", "text-generation")
        self.assertIn("@cf/some/model is answered by ada/says", said)
        self.assertIn("@cf/some/model", thaw("model", "alias"))
        self.assertEqual(asked("POST", "run/@cf/some/model", {"prompt": "x"})[0], 200)
        # Clients write its slashes so.
        self.assertEqual(asked("POST", "run/@cf%2Fsome%2Fmodel", {"prompt": "x"})[0], 200)
        thaw("model", "alias", "@cf/some/model", "--rm")
        self.assertEqual(asked("POST", "run/@cf/some/model", {"prompt": "x"})[0], 400)
        for words in (("@cf/a", "ada/none"), ("@cf/a", "none"), ("@cf a", "ada/says"),
                      ("@cf/none", "--rm")):  # fmt: skip
            self.assertNotEqual(thaw("model", "alias", *words, check=False).returncode, 0)

    def test_a_model_answers_to_its_own_name(self):
        self.assertEqual(asked("POST", "run/ada/says", {"prompt": "x"})[1]["result"]["response"],
                         "x 0 x 1 ")  # fmt: skip

    def test_what_is_anothers_is_not_there(self):
        thaw("workspace", "create", "others")
        theirs = json.loads(thaw("token", "create", "theirs", "--workspace", "others", "--json"))
        token = f"{theirs['token']}:{theirs['secret']}"
        for name in (LLAMA, "ada/says", "@cf/no/model"):
            status, told = asked("POST", f"run/{name}", {"prompt": "x"}, token=token)
            self.assertEqual((status, told["errors"][0]["code"]), (400, 5007))
            self.assertEqual(told["errors"][0]["message"].replace(name, "N"),
                             asked("POST", "run/@cf/never/was", {"prompt": "x"},
                                   token=token)[1]["errors"][0]["message"]
                             .replace("@cf/never/was", "N"))  # fmt: skip
        self.assertEqual(asked("GET", "models/search", token=token)[1]["result"], [])

    def test_tokens_are_asked_for_their_scopes(self):
        def token_for(*options):
            made = json.loads(thaw("token", "create", "t", *options, "--json"))
            return f"{made['token']}:{made['secret']}"

        status, told = asked("POST", f"run/{LLAMA}", {"prompt": "x"}, token="bad")
        self.assertEqual((status, told["errors"][0]["code"]), (401, 10000))
        reads = token_for("--scope", "read")
        status, told = asked("POST", f"run/{LLAMA}", {"prompt": "x"}, token=reads)
        self.assertEqual((status, told["errors"][0]["code"]), (403, 9109))
        self.assertEqual(asked("GET", "models/search", token=reads)[0], 200)
        narrow = token_for("--scope", "invoke", "--function", "chats")
        self.assertEqual(asked("POST", f"run/{CHAT}", {"prompt": "x"}, token=narrow)[0], 200)
        self.assertEqual(asked("POST", f"run/{LLAMA}", {"prompt": "x"}, token=narrow)[1]
                         ["errors"][0]["code"], 5007)  # fmt: skip


class JavaScript(E2eTest):
    server = server

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        found = subprocess.run([ROOT / "tools/client", PROGRAMS / "package.json"],
                               stdout=subprocess.PIPE, text=True)  # fmt: skip
        if found.returncode == 77:
            print("SKIPPED the clients for JavaScript: no Node.js 20 with npm", flush=True)
            cls.skipTest(cls, "no Node.js")
        home = pathlib.Path(found.stdout.strip().splitlines()[-1])
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="js-", dir=server.folder))
        os.symlink(home / "node_modules", cls.folder / "node_modules")
        for name in ("package.json", "clients.mjs", "miniflare.mjs", "worker.js"):
            shutil.copy(PROGRAMS / name, cls.folder)
        cls.workerd = home / "node_modules/@cloudflare/workerd-linux-64/bin/workerd"

    def node(self, *words):
        done = subprocess.run(["node", self.folder / "clients.mjs", *words], env=ENVIRONMENT,
                              capture_output=True, text=True, timeout=CALL_TIMEOUT)  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_run(self):
        self.assertTrue(self.node("run", LLAMA)["response"].startswith("the quick "))
        self.assertEqual(self.node("unknown", LLAMA)["errors"][0]["code"], 5007)
        self.assertIn(LLAMA, self.node("models", LLAMA))

    def test_the_ai_sdk(self):
        self.assertEqual(self.node("generate", CHAT), "you said hello")
        told = self.node("stream", CHAT)
        self.assertEqual((told["text"], told["finish"]), ("you said hello", "stop"))
        self.assertGreater(told["pieces"], 1)
        self.assertIn("hello", self.node("generate", SAYS))
        self.assertEqual(self.node("embed", BGE), [4, 0.5, -1])

    def test_a_binding_of_miniflare_is_remote(self):
        def ran(key):
            # It comes with a workerd of its own, which is not installed.
            done = subprocess.run(
                ["node", self.folder / "miniflare.mjs",
                 f"http://127.0.0.1:{server.port}/workers-ai/remote/{key}"],
                env={**ENVIRONMENT, "MINIFLARE_WORKERD_PATH": str(self.workerd)},
                capture_output=True, text=True, timeout=CALL_TIMEOUT)  # fmt: skip
            self.assertEqual(done.returncode, 0, done.stderr)
            return done.stdout

        said = ran(ENVIRONMENT["CLOUDFLARE_API_TOKEN"])
        self.assertTrue(json.loads(said)["response"].startswith("the quick "), said)
        self.assertIn("10000", ran("bad"))

    def test_a_worker_runs_in_stock_workerd(self):
        config = thaw("worker-config").replace("127.0.0.1:8787", "127.0.0.1:0")
        (self.folder / "workerd.capnp").write_text(config)
        reader, writer = os.pipe()
        worker = subprocess.Popen(
            [self.workerd, "serve", f"--control-fd={writer}", self.folder / "workerd.capnp"],
            pass_fds=[writer], stderr=subprocess.PIPE, text=True,
        )
        os.close(writer)
        try:
            with os.fdopen(reader) as control:
                listens = json.loads(control.readline())
            base = f"http://127.0.0.1:{listens['port']}"

            def get(path):
                try:
                    with urllib.request.urlopen(base + path, timeout=CALL_TIMEOUT) as answer:
                        return answer.read()
                except urllib.error.HTTPError as error:
                    return error.read()

            self.assertTrue(json.loads(get("/json"))["response"].startswith("the quick "))
            *pieces, done = events(get("/stream"))
            self.assertEqual(done, "[DONE]")
            said = "".join(json.loads(one)["response"] for one in pieces)
            self.assertTrue(said.startswith("the quick "), said)
            self.assertEqual(json.loads(get("/audio"))["text"], "heard 16 bytes")
            self.assertIn(LLAMA, [one["name"] for one in json.loads(get("/models"))])
            told = json.loads(get("/unknown"))
            self.assertEqual(told["name"], "InferenceUpstreamError")
            self.assertTrue(told["message"].startswith("5007: "), told)
        finally:
            worker.kill()
            worker.communicate()


class NextStart(E2eTest):
    def test_aliases_are_there_after_a_kill(self):
        server.kill()
        server.start()
        status, told = asked("POST", f"run/{SAYS}", {"prompt": "x"})
        self.assertEqual((status, told["result"]["response"]), (200, "x 0 x 1 "))


if __name__ == "__main__":
    main()
