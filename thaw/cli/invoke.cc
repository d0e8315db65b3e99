// SPDX-License-Identifier: Apache-2.0
// thaw invoke: one request to a function, whose answer goes to standard output as it comes; or,
// with
// --async, one that the server keeps and sends by itself.
#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstdio>
#include <utility>

#include "thaw/cli/admin_client.h"
#include "thaw/cli/answer_output.h"
#include "thaw/cli/push_folder.h"

namespace thaw::cli {

namespace {

// It is in memory while it is sent.
constexpr std::size_t most_data_bytes = 1u << 30;
constexpr std::size_t most_json_bytes = 1u << 20;

Result<std::string> read_input() {
  std::string text;
  char buffer[64 << 10];
  while (const std::size_t count = std::fread(buffer, 1, sizeof buffer, stdin)) {
    text.append(buffer, count);
    if (text.size() > most_data_bytes) {
      return Error::resource_exhausted("standard input has more than " +
                                       std::to_string(most_data_bytes) + " bytes");
    }
  }
  return text;
}

Result<std::string> body_of(const InvokeOptions& options) {
  if (!options.data) {
    return std::string();
  }
  if (*options.data == "-") {
    return read_input();
  }
  return options.data->starts_with('@') ? read_small_file(options.data->substr(1), most_data_bytes)
                                        : Result<std::string>(*options.data);
}

Result<net::Headers> headers_of(const InvokeOptions& options) {
  net::Headers headers;
  for (const std::string& text : options.headers) {
    const std::size_t colon = text.find(':');
    if (colon == 0 || colon == std::string::npos) {
      return Error::invalid_argument("--header takes 'name: value', not '" + text + "'");
    }
    std::string name = text.substr(0, colon);
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    const std::size_t begin = std::min(text.find_first_not_of(' ', colon + 1), text.size());
    headers.add(std::move(name), text.substr(begin));
  }
  return headers;
}

Result<net::ClientRequest> request_of(const InvokeOptions& options) {
  net::ClientRequest request;
  THAW_TRY(request.headers, headers_of(options));
  THAW_TRY(request.body, body_of(options));
  request.method = !options.method.empty() ? options.method : options.data ? "POST" : "GET";
  if (options.data && !request.headers.find("content-type")) {
    const bool is_json =
        request.body.size() <= most_json_bytes && codec::parse_json(request.body).has_value();
    request.headers.add("content-type", is_json ? "application/json" : "application/octet-stream");
  }
  return request;
}

async::Task<void> pass(ServerClient& client, net::ClientRequest request, std::string name,
                       Duration limit) {
  THAW_CO_TRY(const std::unique_ptr<net::ClientResponse> response,
              co_await client.send(std::move(request), limit));
  co_return co_await print_answer(*response, name);
}

// Of an asynchronous call's headers these reach the function, and the key the server.
Result<void> check_kept(const net::Headers& headers) {
  for (const auto& [name, value] : headers.fields) {
    if (name != "content-type" && name != "accept" && name != "idempotency-key") {
      return Error::invalid_argument("the header " + name +
                                     " does not go with --async; content-type, accept and "
                                     "idempotency-key do");
    }
  }
  return ok();
}

Result<void> run(const Where& where, const InvokeOptions& options) {
  THAW_TRY(net::ClientRequest request, request_of(options));
  THAW_TRY(RunningServer server, choose_server(where));
  async::Loop loop;
  ServerClient client(loop, std::move(server));
  const std::string path = (options.path.starts_with('/') ? "" : "/") + options.path;
  if (options.delivery == InvokeOptions::Delivery::wait && !options.callbacks.empty()) {
    return Error::invalid_argument("--callback goes with --async: who waits is told by the answer");
  }
  if (options.delivery == InvokeOptions::Delivery::wait) {
    const std::string version = options.version.empty() ? "" : "@" + options.version;
    request.target = "/fn/" + percent_encoded(options.name + version) + path;
    const auto limit =
        std::chrono::duration_cast<Duration>(std::chrono::duration<double>(options.wait_s));
    return loop.run_task(pass(client, std::move(request), options.name, limit));
  }
  THAW_TRY_VOID(check_kept(request.headers));
  AdminRequest create;
  create.method = "POST";
  create.target = "/api/v1/functions/" + percent_encoded(options.name) + "/calls?method=" +
                  percent_encoded(options.method.empty() ? "POST" : options.method);
  create.target += options.path.empty() ? "" : "&path=" + percent_encoded(path);
  // The server looks for an alias of that name first.
  create.target += options.version.empty() ? "" : "&version=" + percent_encoded(options.version);
  create.body = std::move(request.body);
  create.headers = std::move(request.headers);
  for (const std::string& address : options.callbacks) {
    create.headers.add("thaw-callback", address);
  }
  if (!options.callback_on.empty()) {
    create.headers.add("thaw-callback-on", options.callback_on);
  }
  if (options.callback_for_s > 0) {
    create.headers.add("thaw-callback-for", std::to_string(options.callback_for_s));
  }
  THAW_TRY(const codec::Json made, loop.run_task(client.ask(std::move(create), 60s)));
  if (where.output == Output::json) {
    std::printf("%s\n", made.dump(2).c_str());
  } else {
    std::printf("%s\n", made.value("call", "").c_str());
  }
  return ok();
}

}  // namespace

int invoke(const Where& where, const InvokeOptions& options) {
  const Result<void> done = run(where, options);
  return done ? 0 : fail(done.error());
}

}  // namespace thaw::cli
