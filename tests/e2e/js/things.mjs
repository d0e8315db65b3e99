// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { AlreadyExistsError, InvalidError, NotFoundError } from "modal";

export const BASE = "python:3.11-slim-bookworm";
const APP = "e2e-languages";

export async function secrets(client) {
  const found = await client.secrets.fromName("languages", { requiredKeys: ["KEY"] });
  assert.match(found.secretId, /^st-/);
  const missing = client.secrets.fromName("languages", { requiredKeys: ["KEY", "OTHER"] });
  await assert.rejects(missing, /OTHER/);
  await assert.rejects(client.secrets.fromName("no-such-secret"), NotFoundError);
  await assert.rejects(client.secrets.delete("no-such-secret"), NotFoundError);
  await client.secrets.delete("no-such-secret", { allowMissing: true });
  await assert.rejects(client.secrets.fromObject({ "not-a-name": "x" }), InvalidError);
}

export async function volumes(client) {
  const name = `of-js-${process.pid}`;
  await assert.rejects(client.volumes.fromName(name), NotFoundError);
  const made = await client.volumes.fromName(name, { createIfMissing: true });
  assert.match(made.volumeId, /^vo-/);
  assert.equal((await client.volumes.fromName(name)).volumeId, made.volumeId);
  await client.volumes.delete(name);
  await assert.rejects(client.volumes.fromName(name), NotFoundError);
  await client.volumes.delete(name, { allowMissing: true });
  const passing = await client.volumes.ephemeral();
  assert.match(passing.volumeId, /^vo-/);
  passing.closeEphemeral();
}

export async function apps(client) {
  const name = `of-js-${process.pid}`;
  await assert.rejects(client.apps.fromName(name), NotFoundError);
  const made = await client.apps.fromName(name, { createIfMissing: true });
  assert.match(made.appId, /^ap-/);
  assert.equal((await client.apps.fromName(name)).appId, made.appId);
  const deployed = await client.apps.fromName(APP);
  const info = await deployed.info();
  assert.ok("add" in info.functions, JSON.stringify(info));
  assert.equal(info.lifecycle.state ?? info.lifecycle.appState, "deployed");
}

export async function environments(client) {
  const name = `of-js-${process.pid}`;
  await assert.rejects(client.environments.fromName(name), NotFoundError);
  await client.environments.objects.create(name);
  await assert.rejects(client.environments.objects.create(name), AlreadyExistsError);
  const found = await client.environments.fromName(name);
  assert.equal(found.name, name);
  const app = await client.apps.fromName("only-here", { createIfMissing: true, environment: name });
  const listed = [];
  for await (const one of found.apps.list()) {
    listed.push(one.appId);
  }
  assert.deepEqual(listed, [app.appId]);
  await assert.rejects(client.apps.fromName("only-here"), NotFoundError);
  const names = [];
  for await (const one of client.environments.objects.list()) {
    names.push(one.name);
  }
  assert.ok(names.includes(name) && names.includes("main"), String(names));
  await client.environments.objects.delete(name);
  await assert.rejects(client.environments.fromName(name), NotFoundError);
}

export async function images(client) {
  const app = await client.apps.fromName("of-js", { createIfMissing: true });
  const base = await client.images.fromRegistry(BASE).build(app);
  assert.match(base.imageId, /^im-/);
  const secret = await client.secrets.fromObject({ FROM_SECRET: "s" });
  const image = client.images
    .fromRegistry(BASE)
    .dockerfileCommands(["ENV MADE=by-js", "WORKDIR /made"])
    .dockerfileCommands(["RUN echo $MADE $GIVEN $FROM_SECRET > file"], {
      env: { GIVEN: "g" },
      secrets: [secret],
    });
  await image.build(app);
  const again = await client.images.fromId(image.imageId);
  assert.equal(again.imageId, image.imageId);
  const sandbox = await client.sandboxes.create(app, image, { command: ["cat", "file"] });
  assert.equal(await sandbox.stdout.readText(), "by-js g s\n");
  assert.equal(await sandbox.wait(), 0);
  const failing = image.dockerfileCommands(["RUN echo the reason; exit 3"]);
  await assert.rejects(failing.build(app), (error) => {
    return error.message.includes("failed with the exception");
  });
  const absent = client.images.fromRegistry("no-such-image:1");
  await assert.rejects(absent.build(app), /no-such-image/);
  await assert.rejects(client.images.fromId("im-" + "a".repeat(22)), NotFoundError);
}

export async function not_served(client) {
  await assert.rejects(client.proxies.fromName("some-proxy"), /proxies/);
  await assert.rejects(
    (await client.functions.fromName(APP, "add")).stats(),
    /statistics over time/,
  );
}

export async function wrong_token(client) {
  await assert.rejects(client.apps.fromName(APP), (error) => {
    assert.match(error.message, /UNAUTHENTICATED/);
    return error.message.includes("token");
  });
}
