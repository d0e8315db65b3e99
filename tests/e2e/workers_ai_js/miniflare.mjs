// SPDX-License-Identifier: Apache-2.0
// A Worker in Miniflare, whose binding is remote; what it answers is printed.
import { Miniflare } from "miniflare";

const [remote] = process.argv.slice(2);
const miniflare = new Miniflare({
  modules: true,
  compatibilityDate: "2026-04-01",
  script: `export default {
    async fetch(request, env) {
      return Response.json(await env.AI.run("@cf/meta/llama-3.1-8b-instruct",
                                            { prompt: "the quick" }));
    },
  };`,
  ai: { binding: "AI", remoteProxyConnectionString: new URL(remote) },
});
const answer = await miniflare.dispatchFetch("http://localhost/");
console.log(await answer.text());
await miniflare.dispose();
