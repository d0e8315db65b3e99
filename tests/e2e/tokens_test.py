#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tokens that may do some things: through the real client, through every header that holds one, by
their functions, until their time is over, with a new secret, and after kill -9."""
import asyncio
import base64
import concurrent.futures
import http.client
import json
import socket
import sqlite3
import threading
import urllib.parse

from thaw_server import (
    APPS, BUILD_TIMEOUT, CALL_TIMEOUT, E2eTest, ThawServer, deploy, main, wait_until,
)  # fmt: skip

server = ThawServer.for_module()

import aiohttp  # noqa: E402
import modal  # noqa: E402
import modal.exception  # noqa: E402
from modal_proto import api_pb2  # noqa: E402

PUSHED = APPS / "pushed"


def thaw(*arguments, at=server, check=True):
    where = "--server" if arguments[0] == "push" else "--data"
    done = at.thaw(*map(str, arguments), where, str(at.data), timeout=BUILD_TIMEOUT)
    if check and done.returncode != 0:
        raise AssertionError(f"{arguments} ended with {done.returncode}: {done.stderr}")
    return done


def token(*options, at=server):
    return json.loads(thaw("token", "create", *options, "--json", at=at).stdout)


def client_of(made, secret=None):
    return modal.Client.from_credentials(made["token"], secret or made["secret"])


def function(name, made, secret=None):
    return modal.Function.from_name("e2e-tokens", name, client=client_of(made, secret))


def environment_of(made):
    return {"MODAL_TOKEN_ID": made["token"], "MODAL_TOKEN_SECRET": made["secret"]}


def ask(path, headers=None, method="GET", body=None, at=server):
    """(status, body) of a path of a server, or of a whole address."""
    url = urllib.parse.urlsplit(path)
    host, port = (url.hostname, url.port) if url.scheme else ("127.0.0.1", at.port)
    connection = http.client.HTTPConnection(host, port, timeout=CALL_TIMEOUT)
    try:
        connection.request(method, url.path or "/", body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def bearer(made):
    return {"authorization": f"Bearer {made['key']}"}


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def header_forms(made):
    """The headers by which one token may be shown."""
    key, pair = made["key"], f"{made['token']}:{made['secret']}"
    for text in (key, "r8_" + key, "sk-" + key, "hf_" + key, pair):
        yield {"authorization": f"Bearer {text}"}
        yield {"Authorization": f"bearer {text}"}
        yield {"authorization": f"Token {text}"}
        yield {"authorization": text}
        yield {"authorization": basic("anybody", text)}
        yield {"api-key": text}
        yield {"x-api-key": text}
        yield {"X-BANANA-API-KEY": text}
    yield {"authorization": basic(made["token"], made["secret"])}
    yield {"Modal-Key": made["token"], "Modal-Secret": made["secret"]}


def wrong_forms(made):
    """What is no token, or another's secret."""
    key = made["key"]
    other = key[:-1] + ("A" if key[-1] != "A" else "B")
    yield from ({"authorization": f"Bearer {text}"} for text in (
        other, key[1:], key + "x", "r8" + key, "", "x", f"{made['token']}:", f"{made['token']}:x",
        f"{made['token']}:{made['secret']}x", "a" * 65, "\u00e9".encode().decode("latin-1") * 65,
        "x" * 4000))  # fmt: skip
    yield {"authorization": "Bearer"}
    yield {"authorization": "Basic !!!"}
    yield {"authorization": basic(made["token"], "x")}
    yield {"authorization": "Digest username=x"}
    yield {"Modal-Key": made["token"], "Modal-Secret": "x"}
    yield {"Modal-Key": made["token"]}
    yield {"api-key": made["token"]}
    yield {}


class Scopes(E2eTest):
    server = server

    @classmethod
    def setUpClass(cls):
        deploy(server, "tokens.py")
        cls.invoke, cls.read = token("--scope", "invoke"), token("--scope", "read")
        cls.deployer = token("--scope", "deploy")

    def test_who_may_invoke_calls_and_deploys_nothing(self):
        double = function("double", self.invoke)
        self.assertEqual(double.remote(21), 42)
        self.assertEqual(list(double.map(range(5))), [0, 2, 4, 6, 8])
        self.assertEqual(double.spawn(4).get(timeout=CALL_TIMEOUT), 8)
        self.assertEqual(list(function("count", self.invoke).remote_gen(3)), [0, 1, 2])
        large = b"x" * (3 << 20)
        self.assertEqual(len(double.remote(large)), 2 * len(large))  # through a blob
        shop = modal.Cls.from_name("e2e-tokens", "Shop", client=client_of(self.invoke))
        self.assertEqual(shop().price.remote("four"), 4)
        call = double.spawn(1)
        call.cancel()
        done = server.modal("deploy", APPS / "tokens.py", env=environment_of(self.invoke),
                            check=False)  # fmt: skip
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stdout + done.stderr, "needs the scope (deploy|read)")
        done = server.modal("secret", "list", env=environment_of(self.invoke), check=False)
        self.assertIn("needs the scope read", done.stdout + done.stderr)
        with self.assertRaisesRegex(Exception, "scope"):
            modal.Volume.from_name(
                "made-by-nobody", create_if_missing=True, client=client_of(self.invoke)
            ).hydrate()

    def test_who_may_read_looks_and_calls_nothing(self):
        listed = server.modal("app", "list", "--json", env=environment_of(self.read)).stdout
        self.assertIn("e2e-tokens", listed)
        double = function("double", self.read)
        double.hydrate()
        with self.assertRaisesRegex(Exception, "needs the scope invoke"):
            double.remote(1)
        with self.assertRaisesRegex(Exception, "needs the scope deploy"):
            modal.Volume.from_name(
                "made-by-nobody", create_if_missing=True, client=client_of(self.read)
            ).hydrate()
        done = server.modal("app", "stop", "e2e-tokens", "--yes", env=environment_of(self.read),
                            check=False)  # fmt: skip
        self.assertIn("needs the scope deploy", done.stdout + done.stderr)
        self.assertEqual(function("double", self.invoke).remote(2), 4)

    def test_who_may_deploy_deploys_and_calls_nothing(self):
        server.modal("deploy", APPS / "tokens.py", env=environment_of(self.deployer))
        with self.assertRaisesRegex(Exception, "needs the scope invoke"):
            function("double", self.deployer).remote(1)
        done = server.modal("environment", "create", "nobodys", env=environment_of(self.deployer),
                            check=False)  # fmt: skip
        self.assertIn("needs the scope admin", done.stdout + done.stderr)

    def test_a_token_for_one_function_finds_no_other(self):
        one = token("--function", "e2e-tokens/double", "--scope", "invoke,read")
        self.assertEqual(function("double", one).remote(3), 6)
        for name in ("secret", "count"):
            with self.assertRaises(modal.exception.NotFoundError):
                function(name, one).remote(3)
        call = function("secret", self.invoke).spawn(1)
        self.assertEqual(call.get(timeout=CALL_TIMEOUT), "secret 1")
        with self.assertRaises(modal.exception.NotFoundError):
            modal.FunctionCall.from_id(call.object_id, client=client_of(one)).get(timeout=5)
        with self.assertRaisesRegex(Exception, "for e2e-tokens/double only"):
            modal.Volume.from_name("any", client=client_of(one)).hydrate()
        starred = token("--function", "*/d*", "--scope", "invoke")
        self.assertEqual(function("double", starred).remote(3), 6)
        with self.assertRaises(modal.exception.NotFoundError):
            function("secret", starred).remote(3)
        other = token("--function", "another-app")
        with self.assertRaises(modal.exception.NotFoundError):
            function("double", other).remote(3)

    def test_a_page_for_tokens_asks_for_invoke_and_its_function(self):
        url = modal.Function.from_name("e2e-tokens", "page").get_web_url()
        for shown in header_forms(self.invoke):
            self.assertEqual(ask(url, shown)[0], 200, shown)
        self.assertEqual(ask(url, bearer(self.read))[0], 403)
        own, other = (token("--function", f"e2e-tokens/{name}") for name in ("page", "double"))
        self.assertEqual((ask(url, bearer(own))[0], ask(url, bearer(other))[0]), (200, 403))
        for wrong in wrong_forms(self.invoke):
            self.assertEqual(ask(url, wrong)[0], 401, wrong)

    def test_no_page_sees_a_token(self):
        urls = [modal.Function.from_name("e2e-tokens", name).get_web_url()
                for name in ("page", "port")]  # fmt: skip
        both = {"x-api-key": self.invoke["key"], **bearer(self.invoke)}
        for shown in (*header_forms(self.invoke), both):
            for url in urls:
                status, body = ask(url, shown)
                self.assertEqual(status, 200, body)
                seen = {line.partition(":")[0] for line in body.splitlines()}
                self.assertIn("host", seen)
                self.assertFalse({name.lower() for name in shown} & seen, (url, shown))
            if "authorization" in shown:
                self.assertNotIn("authorization:", self.talk(urls[0], shown))
        # What is for the application reaches it, though it looks like one of ours.
        foreign = {"authorization": "Bearer app_" + "a" * 65}
        pair = {"Modal-Key": self.invoke["token"], "Modal-Secret": self.invoke["secret"]}
        for url in urls:
            status, body = ask(url, {**foreign, **pair})
            self.assertEqual(status, 200, body)
            self.assertIn(foreign["authorization"], body)

    def talk(self, url, headers):
        async def listen():
            async with aiohttp.ClientSession() as session:
                async with session.ws_connect(url, headers=headers) as talk:
                    return await talk.receive_str(timeout=CALL_TIMEOUT)

        return asyncio.run(listen())

    def test_options_of_a_variant_are_for_who_may_deploy(self):
        narrow = token("--function", "e2e-tokens/Chain.*", "--scope", "invoke")
        for made in (self.invoke, narrow):
            chain = modal.Cls.from_name("e2e-tokens", "Chain", client=client_of(made))
            self.assertEqual(chain(town="Ulm").where.remote(), "Ulm")
            wished = chain.with_options(buffer_containers=3)
            with self.assertRaisesRegex(Exception, "with options needs the scope deploy"):
                wished(town="Bonn").where.remote()
        read = modal.Cls.from_name("e2e-tokens", "Chain", client=client_of(self.read))
        with self.assertRaisesRegex(Exception, "needs one of the scopes invoke or deploy"):
            read(town="Rom").where.remote()
        everything = modal.Cls.from_name("e2e-tokens", "Chain", client=client_of(token()))
        wished = everything.with_options(timeout=77)
        self.assertEqual(wished(town="Bonn").where.remote(), "Bonn")

    def test_an_environment_is_for_admin_to_make_by_whichever_request(self):
        request = api_pb2.EnvironmentGetOrCreateRequest(
            deployment_name="made-along",
            object_creation_type=api_pb2.OBJECT_CREATION_TYPE_CREATE_IF_MISSING)  # fmt: skip
        def make(made):
            shown = {"x-modal-token-id": made["token"], "x-modal-token-secret": made["secret"]}
            return server.rpc("EnvironmentGetOrCreate", request, shown).environment_id

        with self.assertRaisesRegex(Exception, "EnvironmentCreate needs the scope admin"):
            make(self.deployer)
        made = make(token("--scope", "admin"))
        self.assertEqual(make(self.deployer), made)  # it is there now

    def test_replicates_door_keeps_what_others_keep(self):
        for path in ("predictions", "files", "webhooks/default/secret", "files/x"):
            status, body = ask(f"/replicate/v1/{path}", bearer(self.invoke))
            self.assertEqual(status, 403, (path, body))
        self.assertEqual(ask("/replicate/v1/files/x", bearer(self.invoke), "DELETE")[0], 403)
        self.assertEqual(ask("/replicate/v1/webhooks/default/secret", bearer(self.read))[0], 403)
        self.assertEqual(ask("/replicate/v1/predictions", bearer(self.read))[0], 200)

    def test_a_token_for_some_functions_is_told_of_no_others(self):
        one = token("--function", "e2e-tokens/double", "--scope", "read")
        shown = {"x-modal-token-id": one["token"], "x-modal-token-secret": one["secret"]}
        listed = server.rpc("AppList", api_pb2.AppListRequest(), shown)
        self.assertEqual([sorted(app.metadata.functions) for app in listed.apps], [["double"]])
        with self.assertRaises(modal.exception.NotFoundError):
            modal.Cls.from_name("e2e-tokens", "Chain", client=client_of(one)).hydrate()


class Doors(E2eTest):
    server = server

    @classmethod
    def setUpClass(cls):
        thaw("push", PUSHED / "odd", "locked", "--callers", "tokens", "--concurrency", "20")
        thaw("push", PUSHED / "odd", "open", "--callers", "anyone", "--concurrency", "20")
        cls.all, cls.invoke = token(), token("--scope", "invoke")
        cls.read = token("--scope", "read")

    def test_every_header_that_holds_a_token_is_one(self):
        for shown in header_forms(self.all):
            self.assertEqual(ask("/fn/locked/a", shown)[0], 200, shown)
            self.assertEqual(ask("/api/v1/functions", shown)[0], 200, shown)

    def test_what_holds_none_is_refused(self):
        for shown in wrong_forms(self.all):
            status, body = ask("/fn/locked/a", shown)
            self.assertEqual(status, 401, shown)
            self.assertNotIn(self.all["secret"], body)
            self.assertEqual(ask("/api/v1/functions", shown)[0], 401, shown)
            # What it is meant for may be inside.
            self.assertEqual(ask("/fn/open/a", shown)[0], 200, shown)

    def test_the_server_inside_sees_no_token(self):
        for shown in header_forms(self.invoke):
            status, body = ask("/fn/locked/headers", shown)
            self.assertEqual(status, 200)
            for secret in (self.invoke["secret"], self.invoke["secret"][3:]):
                self.assertNotIn(secret, body, shown)

    def test_scopes_are_asked_for_by_each_operation(self):
        table = ((self.invoke, (403, 200, 200, 403)), (self.read, (200, 403, 403, 403)),
                 (self.all, (200, 200, 200, 200)))  # fmt: skip
        for made, expected in table:
            list_, through, open_, secret = expected
            self.assertEqual(ask("/api/v1/functions", bearer(made))[0], list_)
            self.assertEqual(ask("/fn/locked/", bearer(made))[0], through)
            self.assertEqual(ask("/fn/open/", bearer(made))[0], open_)
            self.assertEqual(ask("/api/v1/callback-secret", bearer(made))[0], secret)
        status, body = ask("/api/v1/functions/locked", bearer(self.read), method="DELETE")
        self.assertEqual(status, 403)
        self.assertIn("the scope deploy", body)
        status, body = ask("/api/v1/functions/locked/calls", bearer(self.read), "POST", "{}")
        self.assertEqual(status, 403)
        self.assertIn("the scope invoke", body)
        status, body = ask("/api/v1/functions/locked/calls", bearer(self.invoke), "POST", "{}")
        self.assertIn(status, (200, 202), body)

    def test_a_token_for_some_functions_reaches_no_other(self):
        narrow = token("--function", "lock*")
        self.assertEqual(ask("/fn/locked/", bearer(narrow))[0], 200)
        for name in ("open", "nothing"):  # there or not: nobody is told
            status, body = ask(f"/fn/{name}/", bearer(narrow))
            self.assertEqual(status, 403)
            self.assertIn("for lock* only", body)
        functions = json.loads(ask("/api/v1/functions", bearer(narrow))[1])["functions"]
        self.assertEqual([one["name"] for one in functions], ["locked"])
        self.assertEqual(ask("/api/v1/functions/open", bearer(narrow))[0], 404)
        self.assertEqual(ask("/api/v1/functions/open", bearer(narrow), "DELETE")[0], 404)
        self.assertEqual(ask("/api/v1/calls", bearer(narrow))[0], 403)
        call = json.loads(ask("/api/v1/functions/open/calls", bearer(self.all), "POST", "{}")[1])
        self.assertEqual(ask(f"/api/v1/calls/{call['call']}", bearer(narrow))[0], 404)
        status, body = ask("/api/v1/functions/locked/calls",
                           {**bearer(narrow), "thaw-callback": "function:open"}, "POST", "{}")
        self.assertEqual(status, 403, body)  # that would call it
        push = json.dumps({"name": "open", "dockerfile": ["FROM scratch"]})
        status, body = ask("/api/v1/functions", bearer(narrow), "POST", push)
        self.assertEqual(status, 403, body)

    def test_metrics_ask_for_read(self):
        remote = {"x-forwarded-for": "10.0.0.1"}
        self.assertEqual(ask("/metrics", {**remote, **bearer(self.invoke)})[0], 401)
        self.assertEqual(ask("/metrics", {**remote, **bearer(self.read)})[0], 200)
        self.assertEqual(ask("/metrics", {**remote, **bearer(token("--function", "x"))})[0], 401)


class Life(E2eTest):
    server = server

    @classmethod
    def setUpClass(cls):
        thaw("push", PUSHED / "odd", "lives", "--callers", "tokens", "--concurrency", "20")

    def status(self, made):
        return ask("/fn/lives/", bearer(made))[0]

    def test_a_token_ends_with_its_time(self):
        short = token("--expires", "2s")
        self.assertEqual(self.status(short), 200)
        wait_until(lambda: self.status(short) == 401, 30, "its time is over")
        status, body = ask("/fn/lives/", bearer(short))
        self.assertIn("time is over", body)
        listed = thaw("token", "list").stdout
        self.assertIn("expired", listed)

    def test_of_a_rotated_token_both_secrets_are_good_for_a_while(self):
        first = token("rotates")
        second = json.loads(thaw("token", "rotate", first["token"], "--grace", "1h",
                                 "--json").stdout)  # fmt: skip
        self.assertEqual(first["token"], second["token"])
        self.assertNotEqual(first["secret_access_key"], second["secret_access_key"])
        self.assertEqual((self.status(first), self.status(second)), (200, 200))
        third = json.loads(thaw("token", "rotate", first["token"], "--grace", "0s",
                                "--json").stdout)  # fmt: skip
        self.assertEqual([self.status(x) for x in (first, second, third)], [401, 401, 200])
        for wrong in ("31d", "-1s", "soon"):
            self.assertNotEqual(thaw("token", "rotate", first["token"], "--grace", wrong,
                                     check=False).returncode, 0)  # fmt: skip
        self.assertEqual(self.status(third), 200)

    def test_a_revoked_token_begins_nothing_more_and_what_runs_goes_on(self):
        made = token("--scope", "invoke")
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=CALL_TIMEOUT)
        self.addCleanup(connection.close)
        connection.request("GET", "/fn/lives/endless", headers=bearer(made))
        stream = connection.getresponse()
        self.assertEqual(stream.readline(), b"tick\n")
        thaw("token", "revoke", made["token"])
        self.assertEqual(self.status(made), 401)
        with self.assertRaises(modal.exception.AuthError):
            function("double", made).remote(1)
        for _ in range(20):  # it was let in before
            self.assertEqual(stream.readline(), b"tick\n")

    def test_the_tables_are_aligned_and_the_secret_is_shown_once(self):
        made = token("a name with blanks", "--scope", "read,invoke", "--prefix", "r8_")
        self.assertTrue(made["key"].startswith("r8_"))
        self.assertEqual(self.status(made), 200)
        told = thaw("token", "list").stdout
        lines = told.splitlines()
        self.assertRegex(lines[0], r"^TOKEN +NAME +WORKSPACE +SCOPES +FUNCTIONS +CREATED +EXPIRES")
        row = next(line for line in lines if made["token"] in line)
        self.assertEqual(row.index("invoke,read"), lines[0].index("SCOPES"))
        self.assertNotIn(made["secret"], told)
        listed = json.loads(thaw("token", "list", "--json").stdout)
        one = next(each for each in listed if each["token"] == made["token"])
        self.assertEqual(one["scopes"], "invoke,read")
        self.assertIsNotNone(one["last_used_at"])
        shown = thaw("token", "create", "shown").stdout
        self.assertIn("secret access key", shown)

    def test_what_cannot_be_a_token_is_told_so(self):
        for options in (["--scope", "write"], ["--function", "a/b/c"], ["--expires", "0s"],
                        ["--expires", "soon"], ["--prefix", "no dash"], ["x" * 101],
                        ["--workspace", "nobodys"]):  # fmt: skip
            done = thaw("token", "create", *options, check=False)
            self.assertEqual(done.returncode, 1, options)
            self.assertTrue(done.stderr.strip(), options)

    def test_no_secret_is_at_rest(self):
        made = token("at rest")
        secrets = [made["secret"].encode(), made["secret"][3:].encode(),
                   made["secret_access_key"].encode()]  # fmt: skip
        for path in server.data.rglob("*"):
            if path.is_file() and path.name != "admin.sock":
                try:
                    content = path.read_bytes()
                except OSError:
                    continue
                for secret in secrets:
                    self.assertNotIn(secret, content, path)


class Deaths(E2eTest):
    """On a server of its own, which is killed."""

    def setUp(self):
        self.own = ThawServer()
        self.addCleanup(self.own.close)
        self.own.start()

    def is_good(self, made):
        return ask("/api/v1/functions", bearer(made), at=self.own)[0] == 200

    def restart(self):
        self.own.kill()
        self.own.start()

    def test_what_was_told_is_kept_over_kill_9(self):
        made = [token("--scope", "read", at=self.own) for _ in range(3)]
        self.restart()
        self.assertEqual([self.is_good(each) for each in made], [True] * 3)
        thaw("token", "revoke", made[0]["token"], at=self.own)
        turned = json.loads(thaw("token", "rotate", made[1]["token"], "--grace", "0s", "--json",
                                 at=self.own).stdout)  # fmt: skip
        self.restart()
        self.assertEqual([self.is_good(each) for each in (*made, turned)],
                         [False, False, True, True])  # fmt: skip

    def test_a_damaged_record_costs_its_token_only(self):
        made = [token("--scope", "read", at=self.own) for _ in range(4)]
        self.own.stop()
        damages = ["'{'", "replace(json, '\"read\"', '\"raed\"')",
                   "replace(json, '\"scopes\"', '\"scops\"')"]  # fmt: skip
        with sqlite3.connect(self.own.data / "thaw.db") as database:
            for each, damage in zip(made, damages):
                changed = database.execute(
                    f"UPDATE catalog_objects SET json = {damage} WHERE kind = 'token' AND id = ?",
                    (each["token"],),
                ).rowcount
                self.assertEqual(changed, 1)
        self.own.start()
        self.assertEqual([self.is_good(each) for each in made], [False, False, False, True])
        listed = json.loads(thaw("token", "list", "--json", at=self.own).stdout)
        self.assertNotIn(made[0]["token"], [each["token"] for each in listed])
        self.assertEqual(thaw("env", at=self.own).returncode, 0)

    def test_a_thousand_tokens_cost_their_workspace_and_nobody_else(self):
        connection = threading.local()

        def make(number):
            if not hasattr(connection, "it"):
                connection.it = http.client.HTTPConnection("thaw", timeout=60)
                connection.it.sock = socket.socket(socket.AF_UNIX)
                connection.it.sock.connect(str(self.own.data / "admin.sock"))
            body = json.dumps({"name": f"number {number}", "workspace": "many", "scopes": "read"})
            connection.it.request("POST", "/admin/tokens", body=body)
            return json.loads(connection.it.getresponse().read())

        thaw("workspace", "create", "many", at=self.own)
        with concurrent.futures.ThreadPoolExecutor(8) as threads:
            made = list(threads.map(make, range(1000)))
        self.assertEqual(len({each["token"] for each in made}), 1000)
        for each in made[::97]:
            self.assertTrue(self.is_good(each))
        self.restart()
        self.assertTrue(self.is_good(made[-1]))
        self.assertEqual(len(json.loads(thaw("token", "list", "--json", at=self.own).stdout)), 1001)
        other = token(at=self.own)
        self.assertTrue(self.is_good(other))

    def test_the_token_of_the_environment_is_made_anew_when_it_is_none_any_more(self):
        before = thaw("env", at=self.own).stdout
        listed = json.loads(thaw("token", "list", "--json", at=self.own).stdout)
        thaw("token", "revoke", listed[0]["token"], at=self.own)
        after = thaw("env", at=self.own).stdout
        self.assertNotEqual(before, after)
        again = json.loads(thaw("token", "list", "--json", at=self.own).stdout)
        thaw("token", "rotate", again[0]["token"], "--grace", "0s", at=self.own)
        self.assertNotEqual(after, thaw("env", at=self.own).stdout)


if __name__ == "__main__":
    main()
