// SPDX-License-Identifier: Apache-2.0
const http = require("http");

http.createServer((request, response) => {
  response.end("by node, " + request.url + "\n");
}).listen(process.env.PORT);
