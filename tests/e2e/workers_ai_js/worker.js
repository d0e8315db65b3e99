// SPDX-License-Identifier: Apache-2.0
// A Worker as anybody would write it.
export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    try {
      switch (pathname) {
        case "/json":
          return Response.json(await env.AI.run("@cf/meta/llama-3.1-8b-instruct",
                                                { prompt: "the quick" }));
        case "/stream":
          return new Response(await env.AI.run("@cf/meta/llama-3.1-8b-instruct",
                                               { prompt: "the quick", stream: true }),
                              { headers: { "content-type": "text/event-stream" } });
        case "/audio": {
          const body = new Response("RIFF....WAVEmore").body;
          return Response.json(await env.AI.run("@cf/openai/whisper",
                                                { audio: { body, contentType: "audio/wav" } }));
        }
        case "/models":
          return Response.json(await env.AI.models());
        default:
          return Response.json(await env.AI.run("@cf/no/model", { prompt: "x" }));
      }
    } catch (error) {
      return Response.json({ name: error.name, message: error.message }, { status: 500 });
    }
  },
};
