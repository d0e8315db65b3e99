// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/web.h"

#include <algorithm>
#include <charconv>

#include "thaw/base/log.h"
#include "thaw/codec/encoding.h"
#include "thaw/codec/ids.h"
#include "thaw/codec/json.h"
#include "thaw/codec/pickle.h"
#include "thaw/codec/utf8.h"
#include "thaw/dialect/modal/calls.h"
#include "thaw/dialect/modal/definition.h"
#include "thaw/dialect/modal/functions.h"
#include "thaw/dialect/modal/web_port.h"

namespace thaw::dialect::modal {

using async::Task;

namespace {

// What may wait for a container that is behind: of any request, and of one that sends much, while
// its workspace has room for it.
constexpr std::size_t least_ahead = 256u << 10;
constexpr std::size_t most_ahead = 1u << 20;

// The container's client gives up a request of which it hears nothing for 5 s, however slowly its
// caller sends the body.
constexpr Duration longest_silence = 2s;

void pickle_address(codec::PickleWriter& out, const std::string& address, int port) {
  const std::size_t colon = address.rfind(':');
  if (colon != std::string::npos) {
    std::from_chars(address.data() + colon + 1, address.data() + address.size(), port);
  }
  out.begin_tuple().text(address.substr(0, colon)).integer(port).end_tuple();
}

// ((scope,), {}) as the container's client unpickles it. Keys: the ASGI specification, HTTP and
// WebSocket connection scopes. Of version 2.4 on, sending to a client that is gone would have to
// raise an error in an HTTP application, which the container's client does not: it is to wait for
// the disconnect event instead.
// As these say, `path` begins with `root_path`: what an application mounts looks for it there.
std::string pickled_scope(const net::HttpRequest& request, const gateway::WebOrigin& origin,
                          const std::string& path, const std::string& root_path, bool websocket,
                          const std::vector<std::string>& hidden) {
  const bool is_secure = origin.scheme == "https";
  codec::PickleWriter out;
  out.begin_tuple().begin_tuple().begin_dict();
  out.text("type").text(websocket ? "websocket" : "http");
  out.text("asgi")
      .begin_dict()
      .text("version")
      .text("3.0")
      .text("spec_version")
      .text(websocket ? "2.4" : "2.3")
      .end_dict();
  out.text("http_version").text(request.version);
  out.text("scheme").text(websocket ? (is_secure ? "wss" : "ws") : origin.scheme);
  if (!websocket) {
    out.text("method").text(request.method);
  }
  out.text("path").text(codec::valid_utf8(codec::percent_decode(path)));
  out.text("raw_path").bytes(path);
  out.text("root_path").text(root_path);
  out.text("query_string").bytes(request.query());
  out.text("headers").begin_list();
  for (const auto& [name, value] : request.headers.fields) {
    if (is_withheld(name, hidden) || name == "host") {
      continue;
    }
    out.begin_tuple().bytes(name).bytes(value).end_tuple();
  }
  if (!origin.authority.empty()) {
    out.begin_tuple().bytes("host").bytes(origin.authority).end_tuple();
  }
  for (const auto& [name, value] : gateway::forwarded_headers(origin).fields) {
    out.begin_tuple().bytes(name).bytes(value).end_tuple();
  }
  out.end_list();
  out.text("client");
  pickle_address(out, origin.client, 0);
  out.text("server");
  pickle_address(out, origin.authority, is_secure ? 443 : 80);
  if (websocket) {
    out.text("subprotocols").begin_list();
    const auto offered = request.headers.find("sec-websocket-protocol");
    std::string_view rest = offered.value_or("");
    while (!rest.empty()) {
      std::string_view one = rest.substr(0, rest.find(','));
      rest.remove_prefix(std::min(rest.size(), one.size() + 1));
      while (one.starts_with(' ')) {
        one.remove_prefix(1);
      }
      out.text(one);
    }
    out.end_list();
  }
  out.text("extensions").begin_dict().end_dict();
  out.end_dict().end_tuple().begin_dict().end_dict().end_tuple();
  return out.finish();
}

// If no container has the call yet, none needs to; one that has it is told.
Task<void> client_left(Context& cx, model::CallId id, std::shared_ptr<WebRequest> web) {
  web->leave();
  (void)co_await cx.parts.queue.cancel(std::move(id));
  co_return ok();
}

// Waits while the container is behind. More of it may wait if the workspace has room.
class Ahead {
 public:
  Ahead(Context& cx, model::WorkspaceId workspace, std::shared_ptr<WebRequest> web)
      : cx_(cx), workspace_(std::move(workspace)), web_(std::move(web)) {}

  Task<void> send(pb::Asgi event, std::size_t bytes) {
    if (web_->bytes_ahead >= allowed_ && allowed_ < most_ahead) {
      if (Result<HeldOutput::Hold> room = cx_.held_output.take(workspace_, most_ahead)) {
        room_.emplace(std::move(*room));
        allowed_ = most_ahead;
      }
    }
    while (web_->bytes_ahead >= allowed_ && !web_->to_container.closed()) {
      THAW_CO_TRY([[maybe_unused]] const bool taken,
                  co_await web_->bytes_taken.wait(Instant::max()));
    }
    web_->bytes_ahead += bytes;
    co_return co_await web_->to_container.send(std::move(event));
  }

 private:
  Context& cx_;
  model::WorkspaceId workspace_;
  std::shared_ptr<WebRequest> web_;
  std::size_t allowed_ = least_ahead;
  std::optional<HeldOutput::Hold> room_;
};

// The request's body as events. A body of known length ends with its last byte, so that a small one
// is a single event; the end of another is an empty event.
Task<void> pump_body(Context& cx, model::CallId id, model::WorkspaceId workspace,
                     net::HttpExchange& exchange, std::shared_ptr<WebRequest> web) {
  Ahead ahead(cx, std::move(workspace), web);
  std::uint64_t expected = 0;
  const auto length = exchange.request().headers.find("content-length");
  const bool known = length.has_value();
  if (known) {
    std::from_chars(length->data(), length->data() + length->size(), expected);
  }
  std::uint64_t received = 0;
  bool more = true;
  while (more) {
    auto piece = co_await exchange.read();
    if (!piece) {
      if (piece.error().code() == Code::invalid_argument) {
        web->bad_body = piece.error();
      }
      // tidy(ends): the client has left, or has sent what is no body
      co_return co_await client_left(cx, std::move(id), std::move(web));
    }
    pb::Asgi event;
    web->is_announced = true;
    const std::size_t size = *piece ? (*piece)->size() : 0;
    received += size;
    more = piece->has_value() && !(known && received >= expected);
    event.mutable_http_request()->set_body(*piece ? std::move(**piece) : std::string());
    event.mutable_http_request()->set_more_body(more);
    // tidy(ends): nobody takes more of this body
    THAW_CO_TRY_VOID(co_await ahead.send(std::move(event), size));
  }
  // The application may wait for this to stop early.
  THAW_CO_TRY_VOID(co_await exchange.until_gone());
  co_return co_await client_left(cx, std::move(id), std::move(web));
}

// Of a body that has not begun: an empty event, which says that the request is there.
Task<void> announce_body(std::shared_ptr<WebRequest> web) {
  THAW_CO_TRY_VOID(co_await async::sleep_for(longest_silence));
  if (web->is_announced || web->to_container.closed()) {
    co_return ok();
  }
  pb::Asgi event;
  event.mutable_http_request()->set_more_body(true);
  co_return co_await web->to_container.send(std::move(event));
}

Task<void> pump_socket(Context& cx, model::WorkspaceId workspace, net::WebSocket& socket,
                       std::shared_ptr<WebRequest> web) {
  Ahead ahead(cx, std::move(workspace), web);
  while (true) {
    auto message = co_await socket.receive();
    pb::Asgi event;
    if (!message || !*message) {
      web->close_code = std::max(socket.close_code(), 1000);
      web->leave();
      co_return ok();
    }
    const std::size_t size = (*message)->data.size();
    if ((*message)->kind == net::WebSocketMessage::Kind::text) {
      event.mutable_websocket_receive()->set_text(std::move((*message)->data));
    } else {
      event.mutable_websocket_receive()->set_bytes(std::move((*message)->data));
    }
    // tidy(ends): nobody takes more of this conversation
    THAW_CO_TRY_VOID(co_await ahead.send(std::move(event), size));
  }
}

// Lives as long as the call, however the exchange ended: the container goes on speaking of it.
Task<void> watch_end(Context& cx, model::CallId id, std::shared_ptr<WebRequest> web) {
  std::function<bool(const model::LogEntry&)> final_only = [](const model::LogEntry& entry) {
    return entry.kind == model::LogEntry::Kind::final_;
  };
  // A synchronous call's: its payload is here.
  const auto entries =
      co_await cx.parts.queue.read(id, 0, 1, Instant::max(), std::move(final_only));
  auto& result = *web->last.mutable_result();
  if (!entries) {
    result.set_exception("the end of the call is not known: " + entries.error().to_string());
  } else if (entries->empty()) {
    result.set_exception("the call has ended");
  } else if (auto output = output_of(entries->front())) {
    web->last = std::move(*output);
  } else {
    result.set_exception(output.error().message());
  }
  web->is_over = true;
  web->over.notify_all();
  web->close_events();
  web->close_answers();
  cx.web_requests.erase(id);
  cx.to_forget.emplace_back(monotonic_now() + 5s, id);
  co_return ok();
}

net::Headers headers_from(const google::protobuf::RepeatedPtrField<std::string>& flat) {
  net::Headers headers;
  for (int i = 0; i + 1 < flat.size(); i += 2) {
    std::string name = flat[i];
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    headers.add(std::move(name), flat[i + 1]);
  }
  return headers;
}

Task<void> answer_http(net::HttpExchange& exchange, std::shared_ptr<WebRequest> web,
                       gateway::WebOrigin origin, std::string root_path) {
  while (true) {
    THAW_CO_TRY(std::optional<pb::Asgi> event,
                co_await web->from_container.receive(Instant::max()));
    // Whatever the application makes of half a request.
    if (web->bad_body && !exchange.responded()) {
      co_return *web->bad_body;
    }
    if (!event) {
      break;
    }
    if (event->has_http_response_start()) {
      const auto& start = event->http_response_start();
      net::Headers headers = headers_from(start.headers());
      gateway::keep_below(origin, root_path, headers);
      THAW_CO_TRY_VOID(
          co_await exchange.respond(static_cast<int>(start.status()), std::move(headers)));
    } else if (event->has_http_response_body()) {
      if (!exchange.responded()) {
        co_return Error::internal("the application sent a body before its status");
      }
      auto& body = *event->mutable_http_response_body();
      const bool more = body.more_body();
      if (!body.body().empty()) {
        const std::size_t size = body.body().size();
        THAW_CO_TRY_VOID(co_await exchange.write(std::move(*body.mutable_body())));
        web->unsent_bytes -= size;
        web->taken.notify_all();
      }
      if (!more) {
        co_return co_await exchange.finish();
      }
    }
  }
  const pb::FunctionGetOutputsItem& last = web->last;
  if (exchange.responded()) {
    co_return Error::unavailable("the call ended before its answer was complete: " +
                                 last.result().exception());
  }
  const std::string text =
      last.result().exception().empty() ? "the function gave no answer" : last.result().exception();
  co_return co_await exchange.answer(status_of(last.result()), "application/json",
                                     error_body(text));
}

Task<void> answer_socket(Context& cx, model::WorkspaceId workspace, net::HttpExchange& exchange,
                         std::shared_ptr<WebRequest> web) {
  pb::Asgi connect;
  connect.mutable_websocket_connect();
  THAW_CO_TRY_VOID(co_await web->to_container.send(std::move(connect)));
  std::unique_ptr<net::WebSocket> socket;
  async::TaskGroup pumps(cx.parts.loop);
  Result<void> outcome;
  while (outcome) {
    auto event = co_await web->from_container.receive(Instant::max());
    if (!event || !*event) {
      break;
    }
    pb::Asgi& asgi = **event;
    if (asgi.has_websocket_accept() && !socket) {
      auto accepted = co_await exchange.accept_websocket(
          asgi.websocket_accept().subprotocol(), headers_from(asgi.websocket_accept().headers()));
      if (!accepted) {
        outcome = accepted.error();
        break;
      }
      socket = std::move(*accepted);
      pumps.start("websocket", pump_socket(cx, workspace, *socket, web));
    } else if (asgi.has_websocket_send() && socket) {
      net::WebSocketMessage message;
      auto& send = *asgi.mutable_websocket_send();
      const std::size_t size = send.text().size() + send.bytes().size();
      message.kind = send.content_case() == pb::Asgi::WebsocketSend::kText
                         ? net::WebSocketMessage::Kind::text
                         : net::WebSocketMessage::Kind::binary;
      message.data = message.kind == net::WebSocketMessage::Kind::text
                         ? std::move(*send.mutable_text())
                         : std::move(*send.mutable_bytes());
      outcome = co_await socket->send(std::move(message));
      web->unsent_bytes -= size;
      web->taken.notify_all();
    } else if (asgi.has_websocket_close()) {
      const auto& close = asgi.websocket_close();
      if (!socket) {
        outcome = co_await exchange.answer(403, "application/json",
                                           error_body("the application refused the connection"));
      } else {
        outcome = co_await socket->close(close.has_code() ? static_cast<int>(close.code()) : 1000,
                                         close.reason());
      }
      break;
    }
  }
  const pb::FunctionGetOutputsItem& last = web->last;
  if (!socket && !exchange.responded() && outcome) {
    outcome = co_await exchange.answer(status_of(last.result()), "application/json",
                                       error_body(last.result().exception()));
  } else if (socket && outcome && web->from_container.closed()) {
    outcome = co_await socket->close(1011, "the function ended");
  }
  (void)co_await pumps.stop();
  co_return outcome;
}

Task<void> serve_events(Context& cx, net::HttpExchange& exchange,
                        std::shared_ptr<const model::FunctionSpec> spec, model::WebEndpoint web,
                        std::string path, std::string root_path, std::vector<std::string> hidden) {
  const bool websocket = exchange.is_websocket_upgrade();
  gateway::WebOrigin origin = cx.place.proxies.origin_of(exchange.request());
  pb::FunctionInput input;
  input.set_args(
      pickled_scope(exchange.request(), origin, root_path + path, root_path, websocket, hidden));
  input.set_data_format(pb::DATA_FORMAT_PICKLE);
  input.set_method_name(web.method);
  model::NewCall call = gateway::Invoke::new_call({spec->id, spec});
  call.origin = model::Origin::web;
  const model::CallId id = call.id;
  auto request = std::make_shared<WebRequest>();
  request->is_websocket = websocket;
  cx.web_requests[id] = request;
  std::vector<model::NewInput> inputs;
  inputs.push_back({0, input_payload(input, pb::FUNCTION_CALL_INVOCATION_TYPE_SYNC)});
  const auto created = co_await cx.parts.queue.create(std::move(call), std::move(inputs));
  if (!created) {
    cx.web_requests.erase(id);
    co_return created.error();
  }
  cx.tasks.start("web call's end", watch_end(cx, id, request));
  async::TaskGroup tasks(cx.parts.loop);
  Result<void> outcome;
  if (websocket) {
    outcome = co_await answer_socket(cx, spec->workspace, exchange, request);
  } else {
    tasks.start("web request's body", pump_body(cx, id, spec->workspace, exchange, request));
    if (!request->is_announced) {
      tasks.start("web request's first word", announce_body(request));
    }
    outcome = co_await answer_http(exchange, request, std::move(origin), std::move(root_path));
  }
  co_await async::forget_cancellation();
  request->close_answers();
  if (!outcome && !request->is_over) {
    (void)co_await client_left(cx, id, request);
  }
  request->close_events();
  (void)co_await tasks.stop();
  co_return outcome;
}

// Of an endpoint with requires_proxy_auth: a token of its workspace. Which headers have shown one
// is the answer: they are not for the application.
Result<std::vector<std::string>> admit(Context& cx, const model::FunctionSpec& spec,
                                       const model::WebEndpoint& web,
                                       const net::HttpRequest& request) {
  if (web.callers == model::WebEndpoint::Callers::anyone) {
    return std::vector<std::string>();
  }
  const auto who = cx.parts.access.from_headers(request.headers);
  if (!who) {
    return Error::unauthenticated(
        "this endpoint asks for a token: send its id as Modal-Key and its secret as "
        "Modal-Secret; " +
        who.error().message());
  }
  THAW_TRY_VOID(gateway::check_may_call(cx.parts.catalog, *who, spec));
  return cx.parts.access.credential_headers_of(request.headers);
}

// What answers: of a class, the variant of the parameters that the query names.
Task<std::shared_ptr<const model::FunctionSpec>> answering(
    Context& cx, std::shared_ptr<const catalog::Function> function, model::WebEndpoint web,
    std::string query) {
  THAW_CO_TRY(auto base, live_spec(*function));
  if (web.method.empty() || web.kind == model::WebEndpoint::Kind::server_port) {
    co_return base;
  }
  THAW_CO_TRY(const pb::Function definition, parse_definition(*base));
  THAW_CO_TRY(std::optional<std::string> parameters, parameters_in_query(definition, query));
  if (!parameters) {
    co_return base;
  }
  gateway::Identity owner;
  owner.workspace = base->workspace;
  pb::FunctionBindParamsRequest request;
  request.set_function_id(base->id.str());
  request.set_serialized_params(std::move(*parameters));
  THAW_CO_TRY(const auto variant, co_await variant_of(cx, std::move(owner), std::move(function),
                                                      std::move(request), VariantFor::url));
  THAW_CO_TRY(auto spec, live_spec(*variant));
  co_return spec;
}

// One function behind one address, which serves no pages of its own.
bool is_one_function(const model::FunctionSpec& spec, const model::WebEndpoint& web) {
  const auto definition = parse_definition(spec);
  if (!definition) {
    return false;
  }
  const auto method = definition->method_definitions().find(web.method);
  const pb::WebhookConfig& config = method == definition->method_definitions().end()
                                        ? definition->webhook_config()
                                        : method->second.webhook_config();
  return config.type() == pb::WEBHOOK_TYPE_FUNCTION;
}

// A page's relative links begin behind the slash at the end of its address. What has no pages
// answers without: not every client follows where it is sent to.
bool needs_slash(const model::FunctionSpec& spec, const model::WebEndpoint& web,
                 const net::HttpExchange& exchange) {
  const net::HttpRequest& request = exchange.request();
  const bool reads = request.method == "GET" || request.method == "HEAD";
  const std::string_view accept = request.headers.find("accept").value_or("");
  return reads && !exchange.is_websocket_upgrade() &&
         (accept.find("text/html") != std::string_view::npos || !is_one_function(spec, web));
}

Task<void> send_to_slash(net::HttpExchange& exchange) {
  const std::string_view query = exchange.request().query();
  net::Headers headers;
  headers.add("location", std::string(exchange.request().path()) + "/" +
                              (query.empty() ? "" : "?" + std::string(query)));
  headers.add("content-length", "0");
  THAW_CO_TRY_VOID(co_await exchange.respond(307, std::move(headers)));
  co_return co_await exchange.finish();
}

}  // namespace

async::Task<void> serve_web_target(Context& cx, net::HttpExchange& exchange,
                                   gateway::WebTarget target) {
  const std::string& label = target.label;
  const std::string& root_path = target.root_path;
  const auto spec = target.function->live();
  std::string path(exchange.request().path().substr(root_path.size()));
  const bool is_bare = path.empty() && !root_path.empty();
  path = path.empty() ? "/" : path;
  for (const model::WebEndpoint& web : spec->web) {  // tidy(held): a spec never changes
    if (web.label != label) {
      continue;
    }
    const model::WebEndpoint& endpoint = web;
    auto hidden = admit(cx, *spec, endpoint, exchange.request());
    if (!hidden) {
      const int status = hidden.error().code() == Code::permission_denied ? 403 : 401;
      co_return co_await exchange.answer(status, "application/json",
                                         error_body(hidden.error().message()));
    }
    if (is_bare && needs_slash(*spec, endpoint, exchange)) {
      co_return co_await send_to_slash(exchange);
    }
    const auto answers =
        co_await answering(cx, target.function, endpoint, std::string(exchange.request().query()));
    Result<void> outcome;
    if (!answers && answers.error().code() == Code::invalid_argument) {
      co_return co_await exchange.answer(400, "application/json",
                                         error_body(answers.error().message()));
    }
    if (!answers) {
      outcome = answers.error();
    } else if (endpoint.kind == model::WebEndpoint::Kind::server_port) {
      outcome = co_await serve_port(cx, exchange, *answers, endpoint, path, root_path,
                                    std::move(*hidden));
    } else {
      outcome = co_await serve_events(cx, exchange, *answers, endpoint, path, root_path,
                                      std::move(*hidden));
    }
    if (!outcome && !exchange.responded() && outcome.error().code() == Code::resource_exhausted) {
      net::Headers headers;
      headers.add("retry-after", "1");
      headers.add("content-type", "application/json");
      const std::string body = error_body(outcome.error().message());
      headers.add("content-length", std::to_string(body.size()));
      THAW_CO_TRY_VOID(co_await exchange.respond(429, std::move(headers)));
      THAW_CO_TRY_VOID(co_await exchange.write(body));
      co_return co_await exchange.finish();
    }
    co_return outcome;
  }
  co_return Error::not_found("the endpoint was replaced meanwhile; try again");
}

}  // namespace thaw::dialect::modal
