// SPDX-License-Identifier: Apache-2.0
// What the clients for JavaScript do; the answer is JSON. `node clients.mjs WHAT MODEL`
import { generateText, streamText, embed } from "ai";
import Cloudflare from "cloudflare";
import { createWorkersAI } from "workers-ai-provider";

const [what, model] = process.argv.slice(2);
const account = process.env.CLOUDFLARE_ACCOUNT_ID;

// The provider asks its cloud by name: the way there is its caller's own.
const provider = () =>
  createWorkersAI({
    accountId: account,
    apiKey: process.env.CLOUDFLARE_API_TOKEN,
    fetch: (url, options) =>
      fetch(String(url).replace(/^https:\/\/[^/]+\/client\/v4/, process.env.CLOUDFLARE_BASE_URL),
            options),
  });

const actions = {
  async run() {
    const client = new Cloudflare();
    return await client.ai.run(model, { account_id: account, prompt: "the quick" });
  },
  async unknown() {
    try {
      await new Cloudflare().ai.run("@cf/no/model", { account_id: account, prompt: "x" });
    } catch (error) {
      return { status: error.status, errors: error.errors };
    }
  },
  async models() {
    const names = [];
    for await (const one of new Cloudflare().ai.models.list({ account_id: account })) {
      names.push(one.name);
    }
    return names;
  },
  async generate() {
    const { text } = await generateText({ model: provider()(model), prompt: "hello" });
    return text;
  },
  async stream() {
    const { textStream, finishReason } = streamText({ model: provider()(model), prompt: "hello" });
    const pieces = [];
    for await (const piece of textStream) {
      pieces.push(piece);
    }
    return { text: pieces.join(""), pieces: pieces.length, finish: await finishReason };
  },
  async embed() {
    const { embedding } = await embed({ model: provider().textEmbedding(model), value: "four" });
    return embedding;
  },
};

console.log(JSON.stringify((await actions[what]()) ?? null));
