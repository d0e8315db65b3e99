// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { NotFoundError, QueueEmptyError, QueueFullError } from "modal";

async function withQueue(client, use) {
  const queue = await client.queues.ephemeral();
  try {
    await use(queue);
  } finally {
    queue.closeEphemeral();
  }
}

export async function order(client) {
  await withQueue(client, async (queue) => {
    assert.equal(await queue.len(), 0);
    await queue.put(1);
    await queue.putMany(["two", [3, 4.5], { five: null }, true]);
    assert.equal(await queue.len(), 5);
    assert.equal(await queue.get(), 1);
    assert.deepEqual(await queue.getMany(2), ["two", [3, 4.5]]);
    assert.deepEqual(await queue.getMany(9), [{ five: null }, true]);
    assert.equal(await queue.len(), 0);
  });
}

export async function partitions(client) {
  await withQueue(client, async (queue) => {
    await queue.put("of none");
    await queue.put("of a", { partition: "a", partitionTtlMs: 60_000 });
    await queue.putMany([1, 2, 3], { partition: "b" });
    assert.equal(await queue.len(), 1);
    assert.equal(await queue.len({ partition: "b" }), 3);
    assert.equal(await queue.len({ total: true }), 5);
    assert.equal(await queue.get({ partition: "a" }), "of a");
    await queue.clear({ partition: "b" });
    assert.equal(await queue.len({ total: true }), 1);
    await queue.put("again", { partition: "b" });
    await queue.clear({ all: true });
    assert.equal(await queue.len({ total: true }), 0);
  });
}

export async function iterate(client) {
  await withQueue(client, async (queue) => {
    await queue.putMany([1, 2, 3], { partition: "p" });
    const seen = [];
    for await (const item of queue.iterate({ partition: "p" })) {
      seen.push(item);
    }
    assert.deepEqual(seen, [1, 2, 3]);
    assert.equal(await queue.len({ partition: "p" }), 3);
    // One that waits sees what is put meanwhile.
    const later = [];
    for await (const item of queue.iterate({ partition: "p", itemPollTimeoutMs: 3_000 })) {
      later.push(item);
      if (item === 3) {
        await queue.put(4, { partition: "p" });
      }
      if (item === 4) {
        break;
      }
    }
    assert.deepEqual(later, [1, 2, 3, 4]);
  });
}

export async function waiting(client) {
  await withQueue(client, async (queue) => {
    await assert.rejects(queue.get({ timeoutMs: 0 }), QueueEmptyError);
    await assert.rejects(queue.getMany(3, { timeoutMs: 200 }), QueueEmptyError);
    const waiter = queue.get({ timeoutMs: 60_000 });
    await queue.put("came");
    assert.equal(await waiter, "came");
  });
}

export async function full(client) {
  await withQueue(client, async (queue) => {
    for (let part = 0; part < 5; ++part) {
      await queue.putMany(Array.from({ length: 1000 }, (_, number) => number));
    }
    await assert.rejects(queue.put("one more", { timeoutMs: 200 }), QueueFullError);
    assert.equal(await queue.get(), 0);
    await queue.put("one more", { timeoutMs: 60_000 });
    assert.equal(await queue.len(), 5000);
  });
}

export async function names(client) {
  const name = `of-js-${process.pid}`;
  await assert.rejects(client.queues.fromName(name), NotFoundError);
  const made = await client.queues.fromName(name, { createIfMissing: true });
  await made.put("kept");
  const found = await client.queues.fromName(name);
  assert.equal(found.queueId, made.queueId);
  assert.equal(await found.get(), "kept");
  await client.queues.delete(name);
  await assert.rejects(client.queues.fromName(name), NotFoundError);
  await assert.rejects(client.queues.delete(name), NotFoundError);
  await client.queues.delete(name, { allowMissing: true });
}

export async function of_python(client, { queue: name }) {
  const queue = await client.queues.fromName(name);
  const seen = [];
  while (seen.length < 5) {
    seen.push(...(await queue.getMany(5)));
  }
  assert.deepEqual(seen, [1, "zwei", [3, 4.5], { five: null }, true]);
  await queue.putMany([-6, "sieben", [8.5, false], { nine: null }]);
}
