// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { NotFoundError, RemoteError } from "modal";

const APP = "e2e-languages";

export async function plain(client) {
  const cls = await client.cls.fromName(APP, "Plain");
  const instance = await cls.instance();
  const bump = instance.method("bump");
  const first = await bump.remote();
  assert.ok(first >= 1);
  assert.equal(await bump.remote([], { by: 4 }), first + 4);
  assert.equal(await (await bump.spawn([5])).get(), first + 9);
  await assert.rejects(instance.method("fail").remote(), (error) => {
    assert.ok(error instanceof RemoteError, String(error));
    return error.message.includes("a method's own error");
  });
}

export async function parameters(client) {
  const cls = await client.cls.fromName(APP, "Greeter");
  const standard = await cls.instance();
  assert.equal(await standard.method("greet").remote(["you"]), "hello you");
  const twice = await cls.instance({ greeting: "hi", times: 2, loud: true });
  const again = await twice.method("greet").remote(["you"], { end: "!" });
  assert.equal(again, "HI YOU HI YOU!");
  await assert.rejects(cls.instance({ times: "two" }), /times/);
}

export async function not_found(client) {
  await assert.rejects(client.cls.fromName(APP, "Nothing"), NotFoundError);
  const instance = await (await client.cls.fromName(APP, "Plain")).instance();
  assert.throws(() => instance.method("nothing"), NotFoundError);
}

export async function options(client) {
  const cls = await client.cls.fromName(APP, "Greeter");
  const changed = await cls
    .withOptions({ env: { FLAVOUR: "sweet" }, timeoutMs: 60_000 })
    .withConcurrency({ maxInputs: 2 })
    .instance({ greeting: "hey" });
  assert.equal(await changed.method("setting").remote(["FLAVOUR"]), "sweet");
  assert.equal(await changed.method("greet").remote(["you"]), "hey you");
  const plain = await cls.instance({ greeting: "hey" });
  assert.equal(await plain.method("setting").remote(["FLAVOUR"]), null);
}
