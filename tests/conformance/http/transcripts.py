#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Replays recorded requests against a real server, byte for byte, and compares its answers.

    transcripts.py              what differs is told as a diff, and fails
    transcripts.py --record     the answers of today become those that are expected
    transcripts.py --only WORD  up to the last file whose name has the word

Each file of exchanges/ is one request and its answer, in the order of their names; they share one
server. Lines end with CRLF on the wire and with LF in the files. Comments stand first; "to: admin"
below them sends the request to the administration socket. A body that does not end with a new line
is followed by "\\ no new line at the end". What is sent in chunks is shown without them.

{{NAME}} stands for what is not the same in each run:
    {{date}}, {{time}}, {{number}}, {{length}}    any such value
    {{secret}}, {{host}}, {{software}}            any such text
    {{body}}                                      of a request: how long its body is
    {{fc-1}}, {{de-2}} …                          an id of that kind: any where it is first met,
                                                  and the same from there on, in requests too
    {{authority}}, {{port}}, {{bearer}} …         what this run knows (see `known` below)
"""
import difflib
import json
import pathlib
import re
import socket
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests/e2e"))

from thaw_server import APPS, BUILD_TIMEOUT, THAW_BIN, ThawServer  # noqa: E402

FOLDER = pathlib.Path(__file__).resolve().parent / "exchanges"
REQUEST, ANSWER, NO_END = "--- request\n", "--- answer\n", "\\ no new line at the end\n"
PATIENCE = 60  # seconds for one answer

KINDS = {
    "date": r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT",
    "time": r"\d+(?:\.\d+)?(?:e-?\d+)?",
    "number": r"-?\d+(?:\.\d+)?",
    "length": r"\d+",
    "secret": r"[A-Za-z0-9+/=_-]{20,}",
    "host": r"[a-z0-9.-]+",
    "software": r"[^\n]+",
}
ID = re.compile(r"\b([a-z]{2})-(?!0{16})[0-9A-Za-z]{16,}\b")
ID_KIND = re.compile(r"([a-z]{2})-\d+\Z")
PLACE = re.compile(r"\{\{([a-z0-9-]+)\}\}")
# Numbers that no two runs share, by their names.
TIMES = re.compile(r'("[a-z_]+_at"|"uptime_s"|"at")(\s*:\s*)(\d+(?:\.\d+)?(?:e-?\d+)?)')
VARYING = (
    (r"whsec_[A-Za-z0-9+/=_-]{20,}", "whsec_{{secret}}"),
    (r'("(?:secret|key|secret_access_key)":\s*")[A-Za-z0-9+/=_-]{20,}"', r'\1{{secret}}"'),
    (r'("host_url":\s*"http://)[a-z0-9.-]+', r"\1{{host}}"),
    (r'("containers":\s*)\d+', r"\1{{number}}"),
    (r"(?m)^server: .+$", "server: {{software}}"),
)


class Exchange:
    """One file."""

    def __init__(self, path):
        self.path = path
        text = path.read_text()
        head, _, rest = text.partition(REQUEST)
        self.head = head
        self.to_admin = "\nto: admin\n" in "\n" + head
        self.request, _, self.answer = rest.partition(ANSWER)

    def write(self, answer):
        self.path.write_text(self.head + REQUEST + self.request + ANSWER + answer)


def on_the_wire(text):
    head, _, body = text.partition("\n\n")
    body = body.removesuffix("\n" + NO_END) if body.endswith("\n" + NO_END) else body
    return (head.replace("\n", "\r\n") + "\r\n\r\n").encode() + body.encode()


def in_a_file(head, body):
    text = body.decode(errors="backslashreplace")
    if text and not text.endswith("\n"):
        text += "\n" + NO_END
    return head.decode(errors="backslashreplace").replace("\r\n", "\n") + "\n\n" + text


class Wire:
    """One connection: bytes out, one answer in."""

    def __init__(self, server, to_admin):
        if to_admin:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(str(server.data / "admin.sock"))
        else:
            self.socket = socket.create_connection(("127.0.0.1", server.port))
        self.socket.settimeout(PATIENCE)
        self.file = self.socket.makefile("rb")

    def ask(self, request, method):
        self.socket.sendall(request)
        while True:
            head = self.read_head()
            if not head.startswith(b"HTTP/1.1 1") or head.startswith(b"HTTP/1.1 101"):
                break
        fields = {}
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b": ")
            fields[name] = value
        if method == "HEAD" or head.startswith(b"HTTP/1.1 101"):
            return head, b""
        if fields.get(b"transfer-encoding") == b"chunked":
            return head, self.read_chunks()
        return head, self.file.read(int(fields.get(b"content-length", b"0")))

    def read_head(self):
        lines = []
        while line := self.file.readline():
            if line == b"\r\n":
                return b"\r\n".join(lines)
            lines.append(line.removesuffix(b"\r\n"))
        raise AssertionError(f"the server closed after {lines}")

    def read_chunks(self):
        body = b""
        while size := int(self.file.readline(), 16):
            body += self.file.read(size)
            self.file.readline()
        while self.file.readline() not in (b"\r\n", b""):
            pass
        return body

    def close(self):
        self.socket.close()


class Run:
    def __init__(self, known):
        self.values = dict(known)  # by their names
        self.numbers = {}

    def fill(self, text):
        def value(found):
            return found[0] if found[1] == "body" else self.values[found[1]]

        filled = PLACE.sub(value, text)
        body = on_the_wire(filled).partition(b"\r\n\r\n")[2]
        return filled.replace("{{body}}", str(len(body)))

    def pattern(self, expected):
        """Of the answer; a name that is met for the first time is a group of it."""
        out, at, groups = "", 0, {}
        for found in PLACE.finditer(expected):
            out += re.escape(expected[at:found.start()])
            at = found.end()
            name = found[1]
            if name in self.values:
                out += re.escape(self.values[name])
            elif name in KINDS:
                out += KINDS[name]
            elif name in groups:
                out += f"(?P={groups[name]})"
            else:
                kind = ID_KIND.match(name)
                if not kind:
                    raise AssertionError(f"{{{{{name}}}}} is nothing that this run knows")
                groups[name] = f"g{len(groups)}"
                out += f"(?P<{groups[name]}>{kind[1]}-[0-9A-Za-z]{{16,}})"
        return re.compile(out + re.escape(expected[at:])), groups

    def matches(self, expected, answer):
        pattern, groups = self.pattern(expected)
        found = pattern.fullmatch(answer)
        if found:
            self.values.update({name: found[group] for name, group in groups.items()})
        return bool(found)

    def named(self, answer):
        """What a file would say of it."""
        for name, value in sorted(self.values.items(), key=lambda one: -len(one[1])):
            if len(value) > 4:
                answer = answer.replace(value, "{{" + name + "}}")

        def new_id(found):
            for name, value in self.values.items():
                if value == found[0]:
                    return "{{" + name + "}}"
            number = self.numbers.get(found[1], 0)
            name = None
            while name is None or name in self.values:
                number += 1
                name = f"{found[1]}-{number}"
            self.numbers[found[1]] = number
            self.values[name] = found[0]
            return "{{" + name + "}}"

        answer = ID.sub(new_id, answer)
        for pattern, instead in VARYING:
            answer = re.sub(pattern, instead, answer)
        answer = re.sub(KINDS["date"], "{{date}}", answer)
        answer = TIMES.sub(r"\1\2{{time}}", answer)
        if any(one in answer for one in ("{{time}}", "{{number}}", "{{host}}", "{{secret}}")):
            answer = re.sub(r"(?m)^content-length: \d+$", "content-length: {{length}}", answer)
        return answer


def thaw(server, *arguments):
    return subprocess.run([str(THAW_BIN), *map(str, arguments), "--server", str(server.data)],
                          check=True, capture_output=True, timeout=BUILD_TIMEOUT).stdout


def known(server):
    """What stands behind the exchanges: some functions, and tokens of two workspaces."""
    pushed = APPS / "pushed"
    options = ["--concurrency", "8", "--idle", "300"]
    thaw(server, "push", pushed / "odd", "echo", *options)
    thaw(server, "push", pushed / "odd", "private", "--callers", "tokens", *options)
    thaw(server, "push", pushed / "odd", "brief", "--timeout", "1", *options)
    thaw(server, "push", pushed / "predicts", "predicts", "--idle", "300")
    thaw(server, "workspace", "create", "others")
    version = json.loads(subprocess.run([str(THAW_BIN), "version", "--json"], check=True,
                                        capture_output=True).stdout)["version"]
    values = {"authority": f"127.0.0.1:{server.port}", "port": str(server.port),
              "release": version, "filler": "x" * 70_000, "cr": "\r"}
    for name, more in (("bearer", []), ("stranger", ["--workspace", "others"])):
        token = json.loads(thaw(server, "token", "create", name, "--json", *more))
        values[name] = token["token"] + ":" + token["secret"]
        values[name + "-id"] = token["token"]
    return values


def difference(path, expected, got):
    return "".join(difflib.unified_diff(expected.splitlines(True), got.splitlines(True),
                                        f"{path.name}, as recorded", "as answered now"))


def replay(server, run, exchange, records):
    request = run.fill(exchange.request)
    wire = Wire(server, exchange.to_admin)
    try:
        answer = in_a_file(*wire.ask(on_the_wire(request), request.split(" ", 1)[0]))
    finally:
        wire.close()
    if exchange.answer and run.matches(exchange.answer, answer):
        return ""
    named = run.named(answer)
    if records:
        exchange.write(named)
        return ""
    return difference(exchange.path, exchange.answer, named)


def main():
    records = "--record" in sys.argv
    only = sys.argv[sys.argv.index("--only") + 1] if "--only" in sys.argv else ""
    paths = sorted(FOLDER.glob("*.http"))
    if only:
        last = max(i for i, path in enumerate(paths) if only in path.name)
        paths = paths[:last + 1]
    server = ThawServer.for_module()
    run = Run(known(server))
    failed = 0
    for path in paths:
        try:
            told = replay(server, run, Exchange(path), records)
        except (AssertionError, KeyError, OSError, ValueError) as error:
            told = f"{path.name}: {type(error).__name__}: {error}\n"
        if told:
            failed += 1
            print(told, flush=True)
    print(f"{len(paths)} exchanges, {failed} of them not as recorded"
          + ("; --record takes what is answered now" if failed and not records else ""))
    if failed:
        print(server.log_tail())
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
