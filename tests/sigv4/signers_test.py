#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Requests of real signers of AWS are caught on the wire, and our program must find them signed;
with one thing changed it must not.

    signers_test.py SIGV4_VERIFY
"""
import base64
import http.server
import json
import os
import pathlib
import subprocess
import sys
import threading
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SKIPPED = 77
ID, SECRET = "ak-0123456789abcdefABCDEF", "a-secret-access-key-of-a-token/+with-all"


class Caught(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    requests = []

    def catch(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.requests.append({
            "method": self.command, "target": self.path, "host": self.headers["host"],
            "headers": [[name.lower(), value] for name, value in self.headers.items()
                        if name.lower() != "host"],
            "body": base64.b64encode(body).decode(),
        })  # fmt: skip
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    do_GET = do_PUT = do_POST = do_DELETE = catch

    def log_message(self, *_):
        pass


def client(listing):
    done = subprocess.run([ROOT / "tools/client", listing], cwd=ROOT, capture_output=True,
                          text=True, check=False)  # fmt: skip
    if done.returncode == SKIPPED:
        print(f"SKIPPED {listing.name}: {done.stderr.strip()}")
        return None
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


BOTO = """
import sys, botocore.session, botocore.config, urllib.request
port, id, secret = sys.argv[1:]
session = botocore.session.get_session()
def of(service, **config):
    return session.create_client(service, "eu-west-1", endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id=id, aws_secret_access_key=secret, config=botocore.config.Config(
            retries={"max_attempts": 0}, signature_version="s3v4" if service == "s3" else None,
            s3={"addressing_style": "path"}, request_checksum_calculation="when_required"))
of("lambda").invoke(FunctionName="arn:aws:lambda:eu-west-1:123456789012:function:greet",
                    Qualifier="7", Payload=b'{"who": "all"}')
of("s3").put_object(Bucket="bucket", Key="a name+1/x~y", Body=b"bytes",
                    Metadata={"note": "two   blanks"})
urllib.request.urlopen(of("s3").generate_presigned_url(
    "get_object", Params={"Bucket": "bucket", "Key": "a name"}, ExpiresIn=60)).read()
try:
    of("bedrock-runtime").invoke_model(modelId="a:b/c", body=b"{}")
except Exception as error:
    print(error, file=sys.stderr)
"""


def signers():
    """Name, command."""
    if home := client(HERE / "requirements.txt"):
        yield "botocore", [f"{home}/python", "-c", BOTO], {}
    if home := client(HERE / "js/package.json"):
        for name in ("aws4", "smithy"):
            yield name, ["node", str(HERE / "js/sign.mjs")], {"HOME_OF_PACKAGES": home}
    if home := client(HERE / "go/go.mod"):
        yield "aws-sdk-go-v2", [f"{home}/program"], {}


def judged(verify, requests, secret=SECRET):
    text = json.dumps({"secret": secret, "requests": requests})
    done = subprocess.run([verify], input=text, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def changed(request):
    """Requests in which one thing is another."""
    yield {**request, "method": "PATCH"}
    yield {**request, "target": request["target"].replace("/", "/x", 1)}
    yield {**request, "host": "127.0.0.1:1"}
    for name, value in request["headers"]:
        if name == "x-amz-date":
            rest = [pair for pair in request["headers"] if pair[0] != name]
            yield {**request, "headers": [*rest, [name, value[:-2] + "0Z"
                                                  if value[-2] != "0" else value[:-2] + "1Z"]]}
    if request["body"] and "X-Amz-Signature" not in request["target"]:
        yield {**request, "body": base64.b64encode(b"another").decode()}


def main():
    verify = os.path.abspath(sys.argv[1])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Caught)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    there = 0
    for name, command, env in signers():
        there += 1
        Caught.requests.clear()
        arguments = [str(server.server_port), ID, SECRET]
        if name in ("aws4", "smithy"):
            arguments.append(name)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        done = subprocess.run([*command, *arguments], env={**environment, **env}, text=True,
                              capture_output=True, timeout=120, check=False)  # fmt: skip
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
        caught = list(Caught.requests)
        assert len(caught) >= 3, f"{name} sent {len(caught)}"
        for request, verdict in zip(caught, judged(verify, caught), strict=True):
            assert verdict == "signed", f"{name}: {verdict}\n{json.dumps(request, indent=1)}"
        assert set(judged(verify, caught, SECRET + "x")) == {"the signature is another one"}
        others = [other for request in caught for other in changed(request)]
        for other, verdict in zip(others, judged(verify, others), strict=True):
            assert verdict != "signed", f"{name}: {json.dumps(other, indent=1)}"
        print(f"{name}: {len(caught)} requests are signed, {len(others)} changed ones are not")
    server.shutdown()
    if there < 3:
        print(f"only {there} signers are here")
        return SKIPPED
    return 0


if __name__ == "__main__":
    sys.exit(main())
