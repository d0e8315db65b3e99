// SPDX-License-Identifier: Apache-2.0
// What the unmodified clients for JavaScript do against a server: one function for each test, by
// its name, with the model as its argument. Each prints one JSON value.
import { createReplicate } from "@ai-sdk/replicate";
import { generateImage } from "ai";
import Replicate, { validateWebhook } from "replicate";

const baseUrl = `${process.env.REPLICATE_BASE_URL}/v1`;
const replicate = new Replicate({ baseUrl });

const programs = {
  async run(model) {
    return replicate.run(model, { input: { prompt: "a b", count: 3 } });
  },
  async stream(model) {
    const events = [];
    for await (const { event, data, id } of replicate.stream(model, {
      input: { prompt: "a b", count: 3 },
    })) {
      events.push({ event, data, id });
    }
    return events;
  },
  async predictions(model) {
    const made = await replicate.predictions.create({
      model,
      input: { prompt: "x", mode: "slow" },
    });
    const cancelled = await replicate.predictions.cancel(made.id);
    const ended = await replicate.wait(cancelled, { interval: 100 });
    const page = await replicate.predictions.list();
    const found = page.results.some((one) => one.id === made.id);
    return { status: ended.status, found };
  },
  async files(model) {
    const output = await replicate.run(model, {
      input: { prompt: "x", mode: "file", file: new Blob(["from here"]) },
    });
    return await output.blob().then((blob) => blob.text());
  },
  async image(model) {
    const provider = createReplicate({
      apiToken: process.env.REPLICATE_API_TOKEN,
      baseURL: baseUrl,
    });
    const { image } = await generateImage({
      model: provider.image(model),
      prompt: "x",
      providerOptions: { replicate: { mode: "image" } },
    });
    return image.base64;
  },
  async webhook(_, message) {
    const { key } = await replicate.webhooks.default.secret.get();
    return validateWebhook({ ...JSON.parse(message), secret: key });
  },
  async lists(model) {
    const [owner, name] = model.split("/");
    const found = await replicate.models.search(name);
    const versions = await replicate.models.versions.list(owner, name);
    const account = await replicate.accounts.current();
    const hardware = await replicate.hardware.list();
    return {
      found: found.results.map((one) => `${one.owner}/${one.name}`),
      versions: (versions.results ?? versions).length,
      account: account.username,
      hardware: hardware.map((one) => one.sku),
    };
  },
};

const [name, ...words] = process.argv.slice(2);
console.log(JSON.stringify(await programs[name](...words)));
