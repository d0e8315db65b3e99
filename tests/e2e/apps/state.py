# SPDX-License-Identifier: Apache-2.0
"""Functions that share dicts and queues: by name, by id, over many containers."""
import queue as std_queue
import time

import modal

app = modal.App("e2e-state")
image = modal.Image.debian_slim()


def a_dict(name):
    return modal.Dict.from_name(name, create_if_missing=True)


def a_queue(name):
    return modal.Queue.from_name(name, create_if_missing=True)


@app.function(image=image)
def count_up(name, key):
    shared = a_dict(name)
    shared[key] = shared.get(key, 0) + 1
    return shared[key]


@app.function(image=image)
def by_id(dict_id, queue_id):
    shared = modal.Dict.from_id(dict_id)
    shared["from inside"] = shared["from outside"] + 1
    modal.Queue.from_id(queue_id).put("from inside")


@app.function(image=image)
def produce(name, first, count):
    numbers = list(range(first, first + count))
    for at in range(0, count, 50):
        a_queue(name).put_many(numbers[at : at + 50])


@app.function(image=image)
def consume(name, patience):
    """All that it gets until it is told by a None, of which there is one for each consumer."""
    line = a_queue(name)
    found = []
    while True:
        got = line.get_many(20, timeout=patience)
        found += [value for value in got if value is not None]
        ends = got.count(None)
        if ends > 0:
            if ends > 1:
                line.put_many([None] * (ends - 1))
            return found


@app.function(image=image)
def wait_for(name, patience):
    begun = time.monotonic()
    try:
        return a_queue(name).get(timeout=patience), time.monotonic() - begun
    except std_queue.Empty:
        return None, time.monotonic() - begun


@app.function(image=image)
def in_another_environment(name):
    try:
        return modal.Dict.from_name(name, environment_name="other").get("a")
    except Exception as error:
        return f"{type(error).__name__}: {error}"


@app.local_entrypoint()
def main(name: str = "old-client"):
    """What any version of the client can do."""
    shared = a_dict(name)
    shared["local"] = 41
    print("counted", count_up.remote(name, "local"), shared["local"])
    print("contains", "local" in shared, "absent" in shared, shared.get("absent", "a default"))
    shared.update({"x": 1, "y": 2})
    print("len", shared.len(), "keys", sorted(shared.keys()), "sum", sum(shared.values()))
    print("items", sorted(shared.items()), "popped", shared.pop("x"))
    del shared["y"]
    line = a_queue(name)
    produce.remote(name, 0, 120)
    print("queued", line.len(), "first", line.get(), "more", line.get_many(3))
    line.put("in a partition", partition="p", partition_ttl=60)
    print("partition", line.len(partition="p"), line.get(partition="p"), line.len(total=True))
    print("seen", list(line.iterate())[:2], line.get(block=False))
    line.put(None)
    print("consumed", len(consume.remote(name, 60)), line.get(block=False))
    with modal.Dict.ephemeral() as unnamed, modal.Queue.ephemeral() as nameless:
        unnamed["a"] = "b"
        nameless.put("c")
        print("ephemeral", unnamed["a"], nameless.get())
    shared.clear()
    line.clear(all=True)
    print("cleared", shared.len(), line.len(total=True))
