#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The unmodified clients of Replicate for Python and JavaScript, with models that cog serves."""
import base64
import hashlib
import hmac
import http.client
import http.server
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import tempfile
import textwrap
import threading
import time

from thaw_server import (
    APPS, BUILD_TIMEOUT, CALL_TIMEOUT, ROOT, THAW_BIN, E2eTest, ThawServer, main, wait_until,
)  # fmt: skip

server = ThawServer.for_module(config='[callbacks]\nallow = ["127.0.0.1"]\n')
PROGRAMS = pathlib.Path(__file__).resolve().parent / "replicate_js"


def thaw(*arguments, timeout=CALL_TIMEOUT):
    done = subprocess.run([str(THAW_BIN), *map(str, arguments), "--server", str(server.data)],
                          capture_output=True, text=True, timeout=timeout)  # fmt: skip
    if done.returncode != 0:
        raise AssertionError(f"{arguments} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def push(folder, name, *options):
    return thaw("push", folder, name, *options, timeout=BUILD_TIMEOUT)


# The names of large models here are those of a small one that continues a text.
SAYS, FILES, LLAMA, MINE = (
    "ada/says", "ada/files", "meta/llama-3.1-405b-instruct", "yourusername/llama-3-8b",
)  # fmt: skip
push(APPS / "replicate", SAYS, "--max", "1")
push(APPS / "replicate_files", FILES)
for name in (LLAMA, MINE):
    push(ROOT / "examples/cog", name)


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
CLIENT = subprocess.run([ROOT / "tools/client", "tests/clients/replicate.txt"], check=True,
                        cwd=ROOT, stdout=subprocess.PIPE, text=True)  # fmt: skip
PYTHON = pathlib.Path(CLIENT.stdout.strip().splitlines()[-1]) / "python"


def python(program, *words, timeout=CALL_TIMEOUT):
    done = subprocess.run([PYTHON, "-c", textwrap.dedent(program), *words], env=ENVIRONMENT,
                          capture_output=True, text=True, timeout=timeout)  # fmt: skip
    if done.returncode != 0:
        raise AssertionError(f"the program ended with {done.returncode}: {done.stderr}")
    return done.stdout


def ask(method, path, body=None, headers=None, token=None, raw=False, timeout=CALL_TIMEOUT):
    """(status, JSON) of one request to the API."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=timeout)
    token = ENVIRONMENT["REPLICATE_API_TOKEN"] if token is None else token
    try:
        connection.request(method, f"/replicate/v1/{path}",
                           body if body is None or raw else json.dumps(body),
                           {"authorization": f"Bearer {token}", **(headers or {})})  # fmt: skip
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    return answer.status, json.loads(text) if text else None


def make(model, wait=None, **inputs):
    headers = {} if wait is None else {"prefer": f"wait={wait}"}
    status, made = ask("POST", f"models/{model}/predictions", {"input": inputs}, headers)
    if status not in (201, 202):
        raise AssertionError(f"{status}: {made}")
    return made


def get(prediction):
    return ask("GET", f"predictions/{prediction['id']}")[1]


def until_ended(prediction, timeout=CALL_TIMEOUT):
    def ended():
        now = get(prediction)
        return now if now["completed_at"] else None

    return wait_until(ended, timeout, f"{prediction['id']} ends")


class Receiver:
    """Somebody who is told; what he hears, in order. The first `deaf` tries are answered 500."""

    def __init__(self, deaf=0):
        self.heard = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                nonlocal deaf
                deaf, is_deaf = max(deaf - 1, 0), deaf > 0
                if not is_deaf:
                    receiver.heard.append((dict(self.headers), body))
                self.send_response(500 if is_deaf else 200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def statuses(self):
        return [json.loads(body)["status"] for _, body in self.heard]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class Python(E2eTest):
    server = server

    def test_tokens_are_printed_as_they_come(self):
        said = python("""\
            import replicate
            for event in replicate.stream(
                "meta/llama-3.1-405b-instruct",
                input={"prompt": "the quick", "words": 5},
            ):
                print(str(event), end="")
        """)
        self.assertTrue(said.startswith("the quick "), said)
        self.assertEqual(len(said.split()), 7)

    def test_an_output_of_pieces_is_joined(self):
        said = python("""\
            import replicate
            output = replicate.run(
                "yourusername/llama-3-8b", input={"prompt": "the lazy", "words": 4}
            )
            print("".join(output))
        """)
        self.assertTrue(said.startswith("the lazy "), said)
        self.assertEqual(len(said.split()), 6)

    def test_predictions_of_a_version_are_waited_for_listed_and_cancelled(self):
        told = json.loads(python("""\
            import json, replicate
            model = replicate.models.get("ada/says")
            version = model.latest_version
            made = replicate.predictions.create(version=version.id, input={"prompt": "x"})
            made.wait()
            slow = replicate.predictions.create(
                version=version.id, input={"prompt": "x", "mode": "slow", "count": 100})
            slow.cancel()
            slow.wait()
            by_version = "".join(replicate.run(f"ada/says:{version.id}", input={"prompt": "y"}))
            found = [one.id for one in replicate.predictions.list().results]
            print(json.dumps([made.status, made.output, slow.status, by_version,
                              made.id in found and slow.id in found,
                              len(version.openapi_schema["components"])]))
        """))
        self.assertEqual(told, ["succeeded", ["x 0 ", "x 1 "], "canceled", "y 0 y 1 ", True, 1])

    def test_a_failure_is_the_models_own(self):
        self.assertIn("as it was told", python("""\
            import replicate
            try:
                list(replicate.run("ada/says", input={"prompt": "x", "mode": "fail"}))
            except replicate.exceptions.ModelError as error:
                print(error)
        """))

    def test_files_go_in_and_come_out(self):
        said = python("""\
            import io, replicate
            output = replicate.run("ada/files", input={"file": io.BytesIO(b"hello there")})
            print(output.read().decode())
            uploaded = replicate.files.create(io.BytesIO(b"kept"), filename="a.txt")
            print(uploaded.size, uploaded.content_type,
                  uploaded.id in [one.id for one in replicate.files.list()])
            replicate.files.delete(uploaded.id)
            print(uploaded.id in [one.id for one in replicate.files.list()])
        """)
        self.assertEqual(said.splitlines(), ["hello there", "4 text/plain True", "False"])

    def test_deployments_are_made_changed_used_and_removed(self):
        told = python("""\
            import replicate
            version = replicate.models.get("ada/says").latest_version.id
            made = replicate.deployments.create(
                name="fast", model="ada/says", version=version, hardware="cpu",
                min_instances=0, max_instances=2)
            changed = replicate.deployments.update(made.owner, "fast", max_instances=3)
            print(changed.current_release.number,
                  changed.current_release.configuration.max_instances)
            made = replicate.deployments.predictions.create((made.owner, "fast"), {"prompt": "d"})
            made.wait()
            print(made.output)
            print(replicate.deployments.delete(changed.owner, "fast"))
        """)
        self.assertEqual(told.splitlines(), ["2 3", "['d 0 ', 'd 1 ']", "True"])


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
        for name in ("package.json", "clients.mjs"):
            shutil.copy(PROGRAMS / name, cls.folder)

    def node(self, *words):
        done = subprocess.run(["node", self.folder / "clients.mjs", *words], env=ENVIRONMENT,
                              capture_output=True, text=True, timeout=CALL_TIMEOUT)  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_run(self):
        self.assertEqual(self.node("run", SAYS), ["a b 0 ", "a b 1 ", "a b 2 "])

    def test_stream(self):
        events = self.node("stream", SAYS)
        outputs = [one["data"] for one in events if one["event"] == "output"]
        self.assertEqual(outputs, ["a b 0 ", "a b 1 ", "a b 2 "])
        self.assertEqual(events[-1]["event"], "done")
        self.assertEqual(len({one["id"] for one in events}), len(events))

    def test_predictions(self):
        self.assertEqual(self.node("predictions", SAYS), {"status": "canceled", "found": True})

    def test_files(self):
        self.assertEqual(self.node("files", FILES), "from here")

    def test_an_image_through_the_ai_sdk(self):
        self.assertTrue(base64.b64decode(self.node("image", FILES)).startswith(b"\x89PNG"))

    def test_lists(self):
        told = self.node("lists", SAYS)
        self.assertIn(SAYS, told["found"])
        self.assertEqual(told["versions"], 1)
        self.assertEqual(told["hardware"], ["cpu"])

    def test_a_webhook_is_genuine(self):
        with Receiver() as receiver:
            status, made = ask("POST", f"models/{SAYS}/predictions",
                               {"input": {"prompt": "x"}, "webhook": receiver.url})  # fmt: skip
            self.assertEqual(status, 201, made)
            wait_until(lambda: "succeeded" in receiver.statuses(), CALL_TIMEOUT, "it is told")
            headers, body = receiver.heard[-1]
        headers = {name.lower(): value for name, value in headers.items()}
        message = {"id": headers["webhook-id"], "timestamp": headers["webhook-timestamp"],
                   "signature": headers["webhook-signature"], "body": body.decode()}  # fmt: skip
        self.assertTrue(self.node("webhook", SAYS, json.dumps(message)))


class Predictions(E2eTest):
    server = server

    def test_who_waits_in_vain_is_told_that_it_starts(self):
        made = make(SAYS, wait=1, prompt="x", mode="slow", count=3)
        self.assertEqual(made["status"], "starting")
        self.assertEqual(until_ended(made)["status"], "succeeded")

    def test_an_input_is_checked_before_anything_starts(self):
        for inputs, field in (
            ({}, "input.prompt"),
            ({"prompt": 1}, "input.prompt"),
            ({"prompt": "x", "count": 0}, "input.count"),
            ({"prompt": "x", "mode": "dance"}, "input.mode"),
        ):
            status, told = ask("POST", f"models/{SAYS}/predictions", {"input": inputs})
            self.assertEqual(status, 422, told)
            self.assertEqual(told["title"], "Input validation failed")
            self.assertEqual([one["field"] for one in told["invalid_fields"]], [field])
        made = make(SAYS, wait=60, prompt="x", unknown=1)
        self.assertEqual(made["input"], {"prompt": "x"})

    def test_bad_requests_are_refused_by_name(self):
        path = f"models/{SAYS}/predictions"
        for body, expected in (("{", 400), ("[]", 422), ('{"webhook": 1}', 422),
                               ('{"webhook_events_filter": ["x"]}', 422)):  # fmt: skip
            status, told = ask("POST", path, body, raw=True)
            self.assertEqual(status, expected, told)
            self.assertTrue(told["detail"], told)
        refused = {"input": {"prompt": "x"}, "webhook": "http://169.254.1.1/"}
        self.assertEqual(ask("POST", path, refused)[0], 422)
        self.assertEqual(ask("GET", "predictions/none")[0], 404)
        self.assertEqual(ask("GET", "models/ada/none")[0], 404)
        self.assertEqual(ask("POST", "predictions", {"input": {}, "version": "0" * 64})[0], 422)
        self.assertEqual(ask("GET", "account", token="bad")[0], 401)
        self.assertEqual(ask("GET", "account", token="a:b")[0], 401)
        self.assertEqual(ask("PUT", "account")[0], 405)
        self.assertEqual(ask("GET", "nothing")[0], 404)
        version = ask("GET", f"models/{SAYS}")[1]["latest_version"]["id"]
        status, told = ask("POST", f"models/{SAYS}/versions/{version}/trainings", {})
        self.assertEqual(status, 501)
        self.assertIn("trainings", told["detail"])

    def test_the_same_id_twice_is_one_prediction(self):
        body = {"version": SAYS, "input": {"prompt": "once"}}
        headers = {"prefer": "wait"}
        first = ask("PUT", "predictions/my-own-id", body, headers)[1]
        second = ask("PUT", "predictions/my-own-id", body, headers)[1]
        self.assertEqual(first["id"], "my-own-id")
        self.assertEqual((first["created_at"], first["output"]),
                         (second["created_at"], second["output"]))  # fmt: skip
        self.assertEqual(ask("GET", "predictions/my-own-id")[1]["status"], "succeeded")

    def test_a_hundred_callers_wait_for_one_slot(self):
        ended = []

        def call(number):
            ended.append(until_ended(make(SAYS, wait=60, prompt=str(number))))

        callers = [threading.Thread(target=call, args=(n,)) for n in range(100)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        self.assertEqual({one["status"] for one in ended}, {"succeeded"})
        self.assertEqual({one["output"][0] for one in ended}, {f"{n} 0 " for n in range(100)})

    def test_a_predictor_that_dies_is_replaced(self):
        died = until_ended(make(SAYS, prompt="x", mode="die"))
        self.assertEqual(died["status"], "failed")
        self.assertIn("predictor", died["error"])
        self.assertEqual(until_ended(make(SAYS, prompt="after"))["output"][0], "after 0 ")

    def test_an_output_that_is_no_json_costs_its_prediction_alone(self):
        until_ended(make(SAYS, prompt="x", mode="odd"))
        self.assertEqual(until_ended(make(SAYS, prompt="after"))["status"], "succeeded")

    def test_one_that_waits_and_one_that_runs_are_cancelled(self):
        runs = make(SAYS, prompt="x", mode="slow", count=200)
        wait_until(lambda: get(runs)["output"], CALL_TIMEOUT, "it gives its first piece")
        waits = make(SAYS, prompt="y")
        self.assertEqual(ask("POST", f"predictions/{waits['id']}/cancel")[1]["status"], "canceled")
        ask("POST", f"predictions/{runs['id']}/cancel")
        ended = until_ended(runs)
        self.assertEqual(ended["status"], "canceled")
        self.assertEqual(until_ended(make(SAYS, prompt="z"))["status"], "succeeded")

    def test_one_that_does_not_leave_costs_its_container_alone(self):
        runs = make(SAYS, prompt="x", mode="stubborn")
        wait_until(lambda: get(runs)["status"] == "processing", CALL_TIMEOUT, "it runs")
        ask("POST", f"predictions/{runs['id']}/cancel")
        self.assertEqual(until_ended(runs)["status"], "canceled")
        self.assertEqual(until_ended(make(SAYS, prompt="z"))["status"], "succeeded")

    def test_its_time_is_over(self):
        status, made = ask("POST", f"models/{SAYS}/predictions",
                           {"input": {"prompt": "x", "mode": "slow", "count": 500}},
                           {"cancel-after": "5s"})  # fmt: skip
        self.assertEqual(status, 201, made)
        self.assertEqual(until_ended(made)["status"], "canceled")

    def test_a_million_lines_are_cut(self):
        # It runs twice: the package's stream does not keep up, and it is asked once more for all.
        ended = until_ended(make(SAYS, prompt="x", mode="print"), timeout=5 * CALL_TIMEOUT)
        self.assertEqual(ended["status"], "succeeded", ended["error"])
        self.assertLess(len(ended["logs"]), 1 << 20)
        self.assertIn("line 999999", ended["logs"])

    def test_a_large_input_goes_through(self):
        made = make(SAYS, wait=60, prompt="y" * 90_000_000)
        self.assertEqual(until_ended(made)["output"][0], "y" * 20 + " 0 ")
        self.assertLess(len(made["input"]["prompt"]), 10_000)

    def test_a_large_file_comes_out(self):
        ended = until_ended(make(FILES, prompt="0123456789", mode="large"))
        self.assertTrue(ended["output"].startswith(("http://", "https://")), ended["output"][:80])
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=CALL_TIMEOUT)
        connection.request("GET", "/" + ended["output"].split("/", 3)[3])
        answer = connection.getresponse()
        self.assertEqual(answer.status, 200)
        self.assertEqual(hashlib.sha256(answer.read()).hexdigest(),
                         hashlib.sha256(b"0123456789" * 1_000_000).hexdigest())  # fmt: skip

    def test_a_setup_that_fails_is_told_with_its_log(self):
        with tempfile.TemporaryDirectory() as folder:
            shutil.copytree(APPS / "replicate", folder, dirs_exist_ok=True)
            source = pathlib.Path(folder) / "predict.py"
            source.write_text(source.read_text().replace(
                'print("it sets itself up", flush=True)',
                # The package reads beside it what a setup prints, and loses that of one that fails
                # at once.
                'print("this is why", flush=True); time.sleep(2); '
                'raise RuntimeError("no")'))  # fmt: skip
            push(folder, "ada/broken")
        ended = until_ended(make("ada/broken", prompt="x"))
        self.assertEqual(ended["status"], "failed")
        self.assertIn("this is why", ended["logs"])


class Streams(E2eTest):
    server = server

    def events(self, url, last=None):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=CALL_TIMEOUT)
        connection.request("GET", "/" + url.split("/", 3)[3],
                           headers={} if last is None else {"last-event-id": last})  # fmt: skip
        answer = connection.getresponse()
        self.assertEqual(answer.status, 200)
        event = {}
        for line in answer:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name in ("event", "id", "data"):
                event[name] = value
            elif not line.strip() and "event" in event:
                yield event
                event = {}

    def test_who_was_cut_off_goes_on_where_he_was(self):
        made = make(SAYS, prompt="x", count=5)
        url = made["urls"]["stream"]
        all_of_them = list(self.events(url))
        self.assertEqual(all_of_them[-1]["event"], "done")
        for number, event in enumerate(all_of_them):
            rest = list(self.events(url, event["id"]))
            self.assertEqual(rest, all_of_them[number + 1:])

    def test_its_address_is_its_own(self):
        url = make(SAYS, prompt="x")["urls"]["stream"]
        for bad in (url[:-1] + ("0" if url[-1] != "0" else "1"), url.partition("?")[0]):
            connection = http.client.HTTPConnection("127.0.0.1", server.port)
            connection.request("GET", "/" + bad.split("/", 3)[3])
            self.assertEqual(connection.getresponse().status, 404)

    def test_a_slow_reader_holds_nobody_up(self):
        made = make(SAYS, prompt="x", count=1000)
        slow = self.events(made["urls"]["stream"])
        next(slow)
        self.assertEqual(until_ended(made)["status"], "succeeded")
        self.assertEqual(until_ended(make(SAYS, prompt="y"))["status"], "succeeded")
        self.assertEqual([one["event"] for one in slow][-1], "done")


class Webhooks(E2eTest):
    server = server

    def create(self, receiver, events=None, **inputs):
        body = {"input": inputs, "webhook": receiver.url}
        if events:
            body["webhook_events_filter"] = events
        status, made = ask("POST", f"models/{SAYS}/predictions", body)
        self.assertEqual(status, 201, made)
        return made

    def test_it_is_told_of_what_it_asked_for(self):
        with Receiver(deaf=1) as receiver:
            self.create(receiver, ["completed"], prompt="x")
            wait_until(lambda: receiver.heard, CALL_TIMEOUT, "it hears")
            self.assertEqual(receiver.statuses(), ["succeeded"])
            headers, body = receiver.heard[0]
        headers = {name.lower(): value for name, value in headers.items()}
        key = ask("GET", "webhooks/default/secret")[1]["key"]
        text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        digest = hmac.digest(base64.b64decode(key[len("whsec_"):]), text, "sha256")
        self.assertEqual(headers["webhook-signature"], "v1," + base64.b64encode(digest).decode())

    def test_it_is_told_from_the_start_to_the_end(self):
        with Receiver() as receiver:
            self.create(receiver, prompt="x", mode="slow", count=3)
            wait_until(lambda: "succeeded" in receiver.statuses(), CALL_TIMEOUT, "it hears")
            self.assertEqual(receiver.statuses()[0], "processing")
            outputs = [len(json.loads(body)["output"] or []) for _, body in receiver.heard]
        self.assertEqual(outputs, sorted(outputs))
        self.assertEqual(outputs[-1], 3)

    def test_a_receiver_that_is_dead_leaves_nothing_busy(self):
        with Receiver(deaf=1_000) as receiver:
            made = self.create(receiver, prompt="x")
            self.assertEqual(until_ended(made)["status"], "succeeded")
            self.assertEqual(until_ended(make(SAYS, prompt="y"))["status"], "succeeded")


class Restart(E2eTest):
    server = server

    def test_a_prediction_and_its_webhook_outlive_the_server(self):
        with Receiver() as receiver:
            body = {"input": {"prompt": "x", "mode": "slow", "count": 4}, "webhook": receiver.url,
                    "webhook_events_filter": ["completed"]}  # fmt: skip
            made = ask("POST", f"models/{SAYS}/predictions", body)[1]
            wait_until(lambda: get(made)["output"], CALL_TIMEOUT, "it gives its first piece")
            server.kill()
            server.start()
            ended = until_ended(made)
            self.assertEqual(ended["status"], "succeeded")
            self.assertEqual(ended["output"], [f"x {n} " for n in range(4)])
            wait_until(lambda: receiver.heard, CALL_TIMEOUT, "it hears")
            self.assertEqual(json.loads(receiver.heard[0][1])["id"], made["id"])


class Tenants(E2eTest):
    server = server

    def test_what_is_anothers_is_not_there(self):
        thaw("workspace", "create", "others")
        told = thaw("token", "create", "theirs", "--workspace", "others", "--json")
        theirs = json.loads(told)
        token = f"{theirs['token']}:{theirs['secret']}"
        made = until_ended(make(SAYS, prompt="x"))
        uploaded = json.loads(python("""\
            import io, json, replicate
            print(json.dumps(replicate.files.create(io.BytesIO(b"mine"), filename="a").id))
        """))
        for method, path in (
            ("GET", f"predictions/{made['id']}"),
            ("POST", f"predictions/{made['id']}/cancel"),
            ("GET", f"models/{SAYS}"),
            ("GET", f"models/{SAYS}/versions"),
            ("DELETE", f"models/{SAYS}"),
            ("GET", f"files/{uploaded}"),
            ("GET", f"files/{uploaded}/download"),
            ("DELETE", f"files/{uploaded}"),
            ("GET", "deployments/default/any"),
        ):
            with self.subTest(path=path, method=method):
                self.assertEqual(ask(method, path, token=token)[0], 404)
        for path in ("predictions", "models", "files", "deployments"):
            self.assertEqual(ask("GET", path, token=token)[1]["results"], [])
        self.assertEqual(ask("POST", f"models/{SAYS}/predictions", {"input": {"prompt": "x"}},
                             token=token)[0], 404)  # fmt: skip


if __name__ == "__main__":
    main()
