# SPDX-License-Identifier: Apache-2.0
"""Functions that have buckets as folders. Each runs what it is told, and says what `found` is."""
import json
import os

import modal

told = json.loads(os.environ.get("E2E_BUCKETS", "{}"))
app = modal.App("e2e-buckets")
# Nobody's keys, of the right form.
WRONG = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "wrong"}


def bucket(endpoint="endpoint", keys=None, **options):
    return modal.CloudBucketMount(
        told.get("bucket", "bucket"),
        bucket_endpoint_url=told.get(endpoint, "http://127.0.0.1:1"),
        secret=modal.Secret.from_dict(keys or told.get("keys", WRONG)),
        force_path_style=True,
        **options,
    )


def run(program):
    scope = {}
    exec(program, scope)
    return scope.get("found")


@app.function(volumes={"/b": bucket()})
def write(program):
    return run(program)


@app.function(volumes={"/b": bucket()})
def write_too(program):
    return run(program)


@app.function(volumes={"/b": bucket(read_only=True)})
def only_read(program):
    return run(program)


@app.function(volumes={"/b": bucket(key_prefix="deep/down/")})
def below(program):
    return run(program)


@app.function(volumes={"/b": bucket(keys=WRONG)})
def with_wrong_keys(program):
    return run(program)


@app.function(volumes={"/b": bucket("closed")})
def where_nobody_is(program):
    return run(program)


@app.function(volumes={"/b": bucket("private")})
def where_it_may_not(program):
    return run(program)


@app.function(volumes={"/b": bucket("silent")})
def of_a_silent_one(program):
    return run(program)


@app.cls(volumes={"/b": bucket()})
class Holder:
    @modal.enter()
    def look(self):
        self.names = sorted(os.listdir("/b/class"))

    @modal.method()
    def seen(self):
        return self.names
