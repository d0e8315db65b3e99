// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import http from "node:http";
import {
  AlreadyExistsError,
  NotFoundError,
  SandboxFilesystemDirectoryNotEmptyError,
  SandboxFilesystemNotFoundError,
} from "modal";
import { BASE } from "./things.mjs";

async function create(client, params = {}) {
  const app = await client.apps.fromName("of-js", { createIfMissing: true });
  return client.sandboxes.create(app, client.images.fromRegistry(BASE), params);
}

const forever = { command: ["sleep", "100000"], timeoutMs: 300_000 };

async function withSandbox(client, params, use) {
  const sandbox = await create(client, { ...forever, ...params });
  try {
    await use(sandbox);
  } finally {
    await sandbox.terminate();
  }
}

async function until(condition, what) {
  for (let tries = 0; tries < 600; ++tries) {
    if (await condition()) {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.fail(`still not: ${what}`);
}

// Not by fetch(): it may wait for ever, with nothing that keeps the program running, for who closed
// the connection before it had asked. A port does that whose server has not begun to listen.
function statusOf(url) {
  return new Promise((resolve) => {
    const request = http.get(url, { agent: false, timeout: 5000 }, (answer) => {
      answer.resume();
      resolve(answer.statusCode);
    });
    request.on("timeout", () => request.destroy(new Error("no answer")));
    request.on("error", () => resolve(undefined));
  });
}

export async function output(client) {
  const sandbox = await create(client, {
    command: ["sh", "-c", "echo to out; echo to err >&2; exit 7"],
  });
  assert.equal(await sandbox.stdout.readText(), "to out\n");
  assert.equal(await sandbox.stderr.readText(), "to err\n");
  assert.equal(await sandbox.wait(), 7);
  assert.equal(await sandbox.poll(), 7);
  // Who comes later reads the same.
  const again = await client.sandboxes.fromId(sandbox.sandboxId);
  assert.equal(await again.stdout.readText(), "to out\n");
}

export async function input(client) {
  const sandbox = await create(client, { command: ["cat"] });
  await sandbox.stdin.writeText("first ä\n");
  await sandbox.stdin.writeText("second\n");
  await sandbox.stdin.close();
  assert.equal(await sandbox.stdout.readText(), "first ä\nsecond\n");
  assert.equal(await sandbox.wait(), 0);
}

export async function processes(client) {
  await withSandbox(client, {}, async (sandbox) => {
    const both = await sandbox.exec(["sh", "-c", "echo out; echo err >&2; exit 3"]);
    assert.equal(await both.stdout.readText(), "out\n");
    assert.equal(await both.stderr.readText(), "err\n");
    assert.equal(await both.wait(), 3);
    const raw = await sandbox.exec(["printf", "\\377\\000x"], { mode: "binary" });
    assert.deepEqual([...(await raw.stdout.readBytes())], [255, 0, 120]);
    const reader = await sandbox.exec(["sh", "-c", "read a; echo got $a; cat"]);
    await reader.stdin.writeText("one\n");
    await reader.stdin.writeText("rest");
    await reader.closeStdin();
    assert.equal(await reader.stdout.readText(), "got one\nrest");
    const secret = await client.secrets.fromObject({ B: "2" });
    const settled = await sandbox.exec(["sh", "-c", "echo $PWD $A $B"], {
      workdir: "/tmp",
      env: { A: "1" },
      secrets: [secret],
    });
    assert.equal(await settled.stdout.readText(), "/tmp 1 2\n");
    const killed = await sandbox.exec(["sh", "-c", "kill -TERM $$"]);
    assert.equal(await killed.wait(), 128 + 15);
    const silent = await sandbox.exec(["sh", "-c", "echo x; exit 4"], { stdout: "ignore" });
    assert.equal(await silent.wait(), 4);
    const terminal = await sandbox.exec(["sh", "-c", "test -t 1 && stty size"], { pty: true });
    assert.match(await terminal.stdout.readText(), /24 80/);
    const large = await sandbox.exec(["head", "-c", "5000000", "/dev/zero"], { mode: "binary" });
    assert.equal((await large.stdout.readBytes()).length, 5_000_000);
    const numbers = Array.from({ length: 20 }, (_, number) => number);
    const answers = await Promise.all(
      numbers.map(async (number) => {
        const one = await sandbox.exec(["sh", "-c", `echo ${number}; exit ${number}`]);
        return [(await one.stdout.readText()).trim(), await one.wait()];
      }),
    );
    assert.deepEqual(answers, numbers.map((number) => [String(number), number]));
  });
}

export async function process_limit(client) {
  await withSandbox(client, {}, async (sandbox) => {
    const process = await sandbox.exec(["sleep", "1000"], { timeoutMs: 1000 });
    await process.wait().then(
      (code) => assert.notEqual(code, 0),
      (error) => assert.match(String(error), /deadline|timeout/i),
    );
    const left = await sandbox.exec(["sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"]);
    await until(async () => {
      const look = await sandbox.exec(["sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"]);
      return !(await look.stdout.readText()).includes("sleep 1000 ");
    }, "the process is killed");
    await left.wait();
  });
}

export async function time_limit(client) {
  const sandbox = await create(client, { command: ["sleep", "1000"], timeoutMs: 1000 });
  assert.equal(await sandbox.wait(), 124);
}

export async function terminated(client) {
  const sandbox = await create(client, forever);
  assert.equal(await sandbox.poll(), null);
  assert.equal(await sandbox.terminate({ wait: true }), 137);
  const again = await client.sandboxes.fromId(sandbox.sandboxId);
  assert.equal(await again.poll(), 137);
  await again.terminate();
  await assert.rejects(again.exec(["true"]));
}

export async function names(client) {
  const app = await client.apps.fromName("of-js", { createIfMissing: true });
  const name = `named-${process.pid}`;
  const of = `js-${process.pid}`;
  await withSandbox(client, { name, tags: { of, n: "1" } }, async (sandbox) => {
    await assert.rejects(create(client, { ...forever, name }), AlreadyExistsError);
    const found = await client.sandboxes.fromName("of-js", name);
    assert.equal(found.sandboxId, sandbox.sandboxId);
    assert.deepEqual(await sandbox.getTags(), { of, n: "1" });
    const listed = async (tags) => {
      const ids = [];
      for await (const one of client.sandboxes.list({ appId: app.appId, tags })) {
        ids.push(one.sandboxId);
      }
      return ids;
    };
    assert.deepEqual(await listed({ of }), [sandbox.sandboxId]);
    assert.deepEqual(await listed({ of, n: "2" }), []);
    await sandbox.setTags({ of, n: "2" });
    assert.deepEqual(await listed({ of, n: "2" }), [sandbox.sandboxId]);
    await sandbox.terminate({ wait: true });
    assert.deepEqual(await listed({ of }), []);
    await assert.rejects(client.sandboxes.fromName("of-js", name), NotFoundError);
    const ended = await client.sandboxes.fromName("of-js", name, { includeTerminated: true });
    assert.equal(ended.sandboxId, sandbox.sandboxId);
  });
}

export async function mounts(client, { volume: volumeName }) {
  const volume = await client.volumes.fromName(volumeName);
  const sandbox = await create(client, {
    command: ["sh", "-c", "printf kept > /data/file; echo $PWD $A $B $KEY"],
    workdir: "/made/here",
    env: { A: "1" },
    secrets: [
      await client.secrets.fromObject({ B: "2" }),
      await client.secrets.fromName("languages"),
    ],
    volumes: { "/data": volume },
  });
  assert.equal(await sandbox.stdout.readText(), "/made/here 1 2 of the store\n");
  assert.equal(await sandbox.wait(), 0);
  const reader = await create(client, {
    command: ["sh", "-c", "cat /data/file; echo x > /data/other || echo refused"],
    volumes: { "/data": volume.withMountOptions({ readOnly: true }) },
  });
  assert.equal(await reader.stdout.readText(), "keptrefused\n");
}

export async function files(client) {
  await withSandbox(client, {}, async (sandbox) => {
    const files = sandbox.filesystem;
    await files.writeText("some täxt", "/made/deep/a.txt");
    assert.equal(await files.readText("/made/deep/a.txt"), "some täxt");
    const bytes = new Uint8Array(3_000_000).map((_, index) => index % 253);
    await files.writeBytes(bytes, "/made/b.bin");
    assert.deepEqual(Buffer.from(await files.readBytes("/made/b.bin")), Buffer.from(bytes));
    await files.makeDirectory("/made/folder");
    const listed = await files.listFiles("/made");
    assert.deepEqual(
      listed.map((entry) => [entry.name, entry.type]),
      [["b.bin", "file"], ["deep", "directory"], ["folder", "directory"]],
    );
    const stat = await files.stat("/made/b.bin");
    assert.equal(stat.size, 3_000_000);
    assert.equal(stat.type, "file");
    await files.copyToLocal("/made/deep/a.txt", "copied.txt");
    assert.equal(readFileSync("copied.txt", "utf8"), "some täxt");
    writeFileSync("local.txt", "of here");
    await files.copyFromLocal("local.txt", "/made/local.txt");
    assert.equal(await files.readText("/made/local.txt"), "of here");
    await files.remove("/made/local.txt");
    await assert.rejects(files.readText("/made/local.txt"), SandboxFilesystemNotFoundError);
    await assert.rejects(files.remove("/made"), SandboxFilesystemDirectoryNotEmptyError);
    await files.remove("/made", { recursive: true });
    await assert.rejects(files.stat("/made"), SandboxFilesystemNotFoundError);
  });
}

export async function snapshot(client) {
  const app = await client.apps.fromName("of-js", { createIfMissing: true });
  await withSandbox(client, {}, async (sandbox) => {
    await sandbox.filesystem.writeText("kept", "/made/file");
    const image = await sandbox.snapshotFilesystem();
    assert.match(image.imageId, /^im-/);
    const other = await client.sandboxes.create(app, image, { command: ["cat", "/made/file"] });
    assert.equal(await other.stdout.readText(), "kept");
    const more = image.dockerfileCommands(["RUN echo more >> /made/file"]);
    const third = await client.sandboxes.create(app, more, { command: ["cat", "/made/file"] });
    assert.equal(await third.stdout.readText(), "keptmore\n");
  });
}

export async function ports(client) {
  const command = ["python", "-m", "http.server", "8000"];
  await withSandbox(client, { command, unencryptedPorts: [8000] }, async (sandbox) => {
    const tunnel = (await sandbox.tunnels())[8000];
    const [host, port] = tunnel.tcpSocket;
    await until(
      async () => (await statusOf(`http://${host}:${port}/`)) === 200,
      `the server behind ${host}:${port} answers`,
    );
  });
}

export async function left_running(client) {
  const sandbox = await create(client, forever);
  sandbox.detach();
  console.log(sandbox.sandboxId);
}

export async function found(client, { sandbox: id }) {
  const sandbox = await client.sandboxes.fromId(id);
  assert.equal(await sandbox.poll(), null);
  const process = await sandbox.exec(["echo", "of js"]);
  assert.equal(await process.stdout.readText(), "of js\n");
  await sandbox.terminate();
}
