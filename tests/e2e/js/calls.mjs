// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  FunctionTimeoutError,
  InvalidError,
  NotFoundError,
  RemoteError,
  TimeoutError,
} from "modal";

const APP = "e2e-languages";

export async function values(client) {
  const echo = await client.functions.fromName(APP, "echo");
  const given = [
    0, -7, 2 ** 40, 1.5, "ä→🙂", "", true, null, [1, [2, []]], { a: { b: [1] } },
    new Uint8Array([0, 255, 10]),
  ];
  const answer = await echo.remote(given, { word: "x", list: [1, 2] });
  given[10] = Buffer.from(given[10]);
  answer.args[10] = Buffer.from(answer.args[10]);
  assert.deepEqual(answer, { args: given, kwargs: { word: "x", list: [1, 2] } });
  assert.deepEqual(await echo.remote(), { args: [], kwargs: {} });
}

export async function keywords(client) {
  const add = await client.functions.fromName(APP, "add");
  assert.equal(await add.remote([1]), 11);
  assert.equal(await add.remote([1], { right: 2 }), 3);
  assert.equal(await add.remote([], { left: 4, right: 5 }), 9);
  await assert.rejects(add.remote([], { wrong: 1 }), (error) => {
    assert.ok(error instanceof RemoteError, String(error));
    return error.message.includes("wrong");
  });
}

export async function dates(client) {
  const describe = await client.functions.fromName(APP, "describe");
  const text = await describe.remote([new Date(Date.UTC(2026, 1, 3, 4, 5, 6))]);
  assert.match(text, /^datetime datetime.datetime\(2026, 2, 3, 4, 5, 6/);
}

export async function exceptions(client) {
  const fail = await client.functions.fromName(APP, "fail");
  await assert.rejects(fail.remote([7]), (error) => {
    assert.ok(error instanceof RemoteError, String(error));
    return error.message.includes("there is no number 7");
  });
}

export async function time_limit(client) {
  const tooLong = await client.functions.fromName(APP, "too_long");
  await assert.rejects(tooLong.remote(), FunctionTimeoutError);
  const call = await tooLong.spawn();
  await assert.rejects(call.get(), FunctionTimeoutError);
}

export async function deaths(client) {
  const die = await client.functions.fromName(APP, "die");
  await assert.rejects(die.remote(), (error) => {
    assert.ok(error instanceof RemoteError, String(error));
    return error.message.includes("container");
  });
}

export async function spawned(client) {
  const slow = await client.functions.fromName(APP, "slow");
  const call = await slow.spawn([2], { answer: "later" });
  await assert.rejects(call.get({ timeoutMs: 0 }), TimeoutError);
  await assert.rejects(call.get({ timeoutMs: 50 }), TimeoutError);
  assert.equal(await call.get(), "later");
  assert.equal(await call.get({ timeoutMs: 0 }), "later");
  const found = await client.functionCalls.fromId(call.functionCallId);
  assert.equal(await found.get(), "later");
  console.log(call.functionCallId);
}

export async function found(client, { call }) {
  // What a client of Python has spawned answers in a format that only Python reads.
  const other = await client.functionCalls.fromId(call);
  await assert.rejects(other.get(), /PICKLE/);
}

export async function cancelled(client) {
  const slow = await client.functions.fromName(APP, "slow");
  const call = await slow.spawn([1000]);
  await assert.rejects(call.get({ timeoutMs: 500 }), TimeoutError);
  await call.cancel();
  await assert.rejects(call.get(), (error) => {
    assert.ok(error instanceof RemoteError, String(error));
    return /cancel/i.test(error.message);
  });
  const other = await slow.spawn([1000]);
  await other.cancel({ terminateContainers: true });
  await assert.rejects(other.get(), RemoteError);
  assert.equal(await slow.remote([0]), "done");
}

export async function large(client) {
  const digest = await client.functions.fromName(APP, "digest");
  for (const size of [9_000, 300_000, 3_000_000]) {
    const data = new Uint8Array(size).fill(size % 251);
    const sha = createHash("sha256").update(data).digest("hex");
    assert.deepEqual(await digest.remote([data]), [size, sha]);
    const call = await digest.spawn([data]);
    assert.deepEqual(await call.get(), [size, sha]);
  }
  const make = await client.functions.fromName(APP, "make");
  const made = await make.remote([5_000_000]);
  assert.equal(made.length, 5_000_000);
  assert.ok(made.every((byte) => byte === 120));
}

export async function generator(client) {
  const count = await client.functions.fromName(APP, "count");
  assert.equal((await count.remote([3])).itemsTotal, 3);
}

export async function not_found(client) {
  await assert.rejects(client.functions.fromName(APP, "nothing"), NotFoundError);
  await assert.rejects(client.functions.fromName("no-such-app", "add"), NotFoundError);
  await assert.rejects(client.functions.fromId("fu-" + "a".repeat(22)), NotFoundError);
  await assert.rejects(client.functionCalls.fromId("fc-" + "a".repeat(26)));
}

export async function page(client) {
  const page = await client.functions.fromName(APP, "page");
  const url = await page.getWebUrl();
  for (const way of ["remote", "spawn"]) {
    await assert.rejects(page[way](), (error) => {
      assert.ok(error instanceof InvalidError, String(error));
      return error.message.includes(url);
    });
  }
  const add = await client.functions.fromName(APP, "add");
  assert.equal(await add.getWebUrl(), undefined);
  console.log(url);
}

export async function scaling(client) {
  const add = await client.functions.fromName(APP, "add");
  const stats = await add.getCurrentStats();
  assert.equal(stats.backlog, 0);
  assert.ok(stats.numTotalRunners >= 0);
  const settings = await add.updateAutoscaler({ maxContainers: 3, scaledownWindowMs: 30_000 });
  assert.equal(settings.maxContainers, 3);
  assert.equal(settings.scaledownWindowMs, 30_000);
  const more = await add.updateAutoscaler({ bufferContainers: 0 });
  assert.equal(more.maxContainers, 3);
  assert.equal(more.bufferContainers, 0);
  await assert.rejects(add.updateAutoscaler({ minContainers: 9, maxContainers: 3 }));
}

export async function options(client) {
  const setting = await client.functions.fromName(APP, "setting");
  assert.equal(await setting.remote(["FLAVOUR"]), null);
  const sweet = await setting
    .withOptions({ env: { FLAVOUR: "sweet" }, timeoutMs: 60_000, memoryMiB: 256 })
    .instance();
  assert.notEqual(sweet.functionId, setting.functionId);
  assert.equal(await sweet.remote(["FLAVOUR"]), "sweet");
  const secret = await client.secrets.fromObject({ FLAVOUR: "sour" });
  const sour = await setting
    .withOptions({ secrets: [secret] })
    .withConcurrency({ maxInputs: 4 })
    .instance();
  assert.equal(await sour.remote(["FLAVOUR"]), "sour");
  assert.equal(await setting.remote(["FLAVOUR"]), null);
}

export async function by_id(client, { function: id }) {
  const add = await client.functions.fromId(id);
  assert.equal(await add.remote([1, 2]), 3);
}

export async function many(client) {
  const add = await client.functions.fromName(APP, "add");
  const answers = await Promise.all(
    Array.from({ length: 60 }, (_, number) => add.remote([number, 1])),
  );
  assert.deepEqual(answers, Array.from({ length: 60 }, (_, number) => number + 1));
}

export async function logs(client) {
  const fail = await client.functions.fromName(APP, "fail");
  const number = process.pid;
  await assert.rejects(fail.remote([number]));
  const wanted = `about to fail with ${number}`;
  for (let tries = 0; tries < 100; ++tries) {
    let text = "";
    for await (const entry of fail.logs.tail()) {
      text += entry.message;
    }
    if (text.includes(wanted)) {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.fail(`no "${wanted}" in the function's log`);
}
