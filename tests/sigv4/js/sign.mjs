// SPDX-License-Identifier: Apache-2.0
// Sends requests that two signers have signed: PORT ID SECRET SIGNER.
import { createHash, createHmac } from "node:crypto";
import { createRequire } from "node:module";
import http from "node:http";

const [port, id, secret, signer] = process.argv.slice(2);
const { HOME_OF_PACKAGES: home } = process.env;
const load = createRequire(`${home}/package.json`);
const host = `127.0.0.1:${port}`;

const wanted = [
  { service: "lambda", method: "POST", path: "/2015-03-31/functions/greet/invocations",
    query: { Qualifier: "a b" }, body: '{"who": "wörld"}',
    headers: { "content-type": "application/json", "x-amz-invocation-type": "RequestResponse" } },
  { service: "bedrock", method: "GET", path: "/model/a%3Ab%2Fc/invoke", query: {}, headers: {} },
  { service: "s3", method: "PUT", path: "/bucket/a%20name%2B1/x", query: { partNumber: "1" },
    body: "bytes", headers: {} },
];

class Sha256 {
  constructor(key) {
    this.hash = key ? createHmac("sha256", key) : createHash("sha256");
  }
  update(data) {
    this.hash.update(data);
  }
  async digest() {
    return new Uint8Array(this.hash.digest());
  }
}

async function signed({ service, method, path, query, body, headers }) {
  const text = new URLSearchParams(query).toString().replaceAll("+", "%20");
  const target = path + (text ? `?${text}` : "");
  if (signer === "aws4") {
    const made = load("aws4").sign(
      { service, region: "eu-west-1", method, path: target, host, body, headers },
      { accessKeyId: id, secretAccessKey: secret });
    return { method, target, body, headers: made.headers };
  }
  const { SignatureV4 } = load("@smithy/signature-v4");
  const made = await new SignatureV4({
    service, region: "eu-west-1", sha256: Sha256, uriEscapePath: service !== "s3",
    credentials: { accessKeyId: id, secretAccessKey: secret },
  }).sign({ method, path, query, body, protocol: "http:", hostname: "127.0.0.1",
            headers: { host, ...headers } });
  return { method, target, body, headers: made.headers };
}

for (const one of wanted) {
  const { method, target, body, headers } = await signed(one);
  await new Promise((done, failed) => {
    const request = http.request({ host: "127.0.0.1", port, method, path: target, headers });
    request.on("response", (answer) => answer.resume().on("end", done)).on("error", failed);
    request.end(body);
  });
}
