// SPDX-License-Identifier: Apache-2.0
//
// Translation and nothing else: a client's request becomes a call, a program's request becomes a
// step of the delivery, and the call's log is told as this dialect tells it.
#include "tests/dialects/poll_dialect.h"

#include <charconv>
#include <utility>

#include "tests/dialects/house.h"
#include "thaw/codec/encoding.h"
#include "thaw/codec/fields.h"

namespace thaw::dialects_test {

using async::Task;
using codec::Json;

namespace {

constexpr std::uint16_t door_port = 9001;
constexpr std::size_t most_bytes = 16u << 20;
constexpr Duration longest_wait = 60s;
constexpr const char* bytes_type = "application/x-poll";

class PollRuntime final : public control::Runtime {
 public:
  Task<void> complete_plan(std::shared_ptr<const model::FunctionSpec> spec,
                           worker::LaunchPlan& plan) override {
    plan.files.push_back({"program.py", spec->definition});
    plan.argv = {"python3", "-u", "/run/thaw/program.py"};
    plan.env.push_back("POLL_API=127.0.0.1:" + std::to_string(door_port));
    plan.wants_socket = false;
    plan.door_port = door_port;
    co_return ok();
  }
};

// "/answer/in-1" below "/answer/": "in-1".
std::string below(std::string_view path, std::string_view prefix) {
  return path.starts_with(prefix) ? codec::percent_decode(std::string(path.substr(prefix.size())))
                                  : std::string();
}

std::int64_t number_in_query(const net::HttpExchange& exchange, std::string_view name,
                             std::int64_t usual) {
  const std::string text = codec::query_value(exchange.request().query(), name);
  std::from_chars(text.data(), text.data() + text.size(), usual);
  return usual;
}

// --- the program's side ---

Task<void> give_next(const gateway::Owners& owners, net::HttpExchange& exchange,
                     model::ContainerId container) {
  // It waits as long as it likes: it may be frozen meanwhile.
  const control::PollOptions options{.max = 1, .linger = {}, .hold_until = Instant::max()};
  THAW_CO_TRY(control::Poll poll, co_await gateway::next_inputs(owners.loop, owners.fleet, exchange,
                                                                container, options));
  if (poll.inputs.empty()) {
    co_return co_await exchange.answer(410, "text/plain", "no more inputs\n");
  }
  queue::LeasedInput& input = poll.inputs.front();
  net::Headers headers;
  headers.add("input-id", input.input.str());
  headers.add("attempt", std::to_string(input.attempt));
  headers.add("content-length", std::to_string(input.payload.bytes.size()));
  co_return co_await exchange.respond_whole(200, std::move(headers),
                                            std::move(input.payload.bytes));
}

Task<void> take_piece(const gateway::Owners& owners, net::HttpExchange& exchange,
                      model::ContainerId container, model::InputId input) {
  THAW_CO_TRY(std::string bytes, co_await exchange.read_all(most_bytes));
  const auto call = owners.queue.call_of(input);
  if (!call || !owners.queue.works_on(container, *call)) {
    co_return Error::not_found("that input is not this container's");
  }
  model::LogEntry entry;
  entry.input = std::move(input);
  entry.container = std::move(container);
  entry.payload = {std::move(bytes), bytes_type};
  THAW_CO_TRY([[maybe_unused]] const auto number,
              co_await owners.queue.append(*call, std::move(entry)));
  co_return co_await exchange.answer(200, "", "");
}

Task<void> take_end(const gateway::Owners& owners, net::HttpExchange& exchange,
                    model::ContainerId container, model::InputId input, model::OutcomeKind kind) {
  THAW_CO_TRY(std::string bytes, co_await exchange.read_all(most_bytes));
  THAW_CO_TRY_VOID(co_await owners.queue.wait_for_room(input, container, bytes.size(),
                                                       monotonic_now() + longest_wait));
  THAW_CO_TRY_VOID(co_await owners.fleet.finish(std::move(container), std::move(input),
                                                {kind, {std::move(bytes), bytes_type}}));
  co_return co_await exchange.answer(200, "", "");
}

Task<void> give_cancelled(const gateway::Owners& owners, net::HttpExchange& exchange,
                          model::ContainerId container) {
  THAW_CO_TRY(const auto inputs, co_await owners.fleet.wait_for_cancels(
                                     std::move(container), monotonic_now() + longest_wait));
  std::string lines;
  for (const model::InputId& input : inputs) {
    lines += input.str() + "\n";
  }
  co_return co_await exchange.answer(200, "text/plain", std::move(lines));
}

Task<void> take_unfit(const gateway::Owners& owners, net::HttpExchange& exchange,
                      model::ContainerId container) {
  THAW_CO_TRY(std::string why, co_await exchange.read_all(64u << 10));
  owners.fleet.start_failed(container, {model::OutcomeKind::failure, {std::move(why), bytes_type}});
  co_return co_await exchange.answer(200, "", "");
}

// --- the client's side ---

Json json_of(const model::LogEntry& end) {
  Json json = {{"outcome", model::outcome_name(end.outcome)}, {"attempts", end.attempts}};
  if (end.payload.content_type == bytes_type) {
    json["value"] = end.payload.bytes;
  } else if (end.failure) {
    json["value"] = end.failure->message;
    json["type"] = end.failure->type;
  }
  return json;
}

Task<void> put_function(const gateway::Owners& owners, gateway::Identity who,
                        net::HttpExchange& exchange, std::string name) {
  THAW_CO_TRY(const std::string body, co_await exchange.read_all(most_bytes));
  THAW_CO_TRY(const Json json, codec::parse_json(body));
  std::string label;
  std::int64_t window_s = 60, timeout_s = 60, retries = 0, inputs = 1;
  bool is_blocked = false;
  model::FunctionSpec spec;
  codec::Fields fields(json);
  fields.read("program", spec.definition);
  fields.read("label", label);
  fields.read("window_s", window_s);
  fields.read("timeout_s", timeout_s);
  fields.read("retries", retries);
  fields.read("inputs", inputs);
  fields.read("blocked", is_blocked);
  if (const auto read = fields.outcome(); !read) {
    co_return Error::invalid_argument(read.error().message());
  }
  spec.dialect = "poll";
  spec.name = std::move(name);
  spec.scaling.scaledown_window = std::chrono::seconds(window_s);
  spec.scaling.max_concurrent_inputs = static_cast<int>(inputs);
  spec.timeout = std::chrono::seconds(timeout_s);
  spec.retry.max_retries = static_cast<int>(retries);
  spec.retry.initial_delay = 10ms;
  spec.network = is_blocked ? model::NetworkAccess::blocked : model::NetworkAccess::open;
  if (!label.empty()) {
    spec.web.push_back({.label = label});
  }
  THAW_CO_TRY(const model::FunctionId id,
              co_await publish(owners, std::move(who), std::move(spec)));
  co_return co_await answer_json(exchange, 200, {{"function", id}});
}

// The pieces of a synchronous call as they come, and then its end.
Task<void> tell_pieces(const gateway::Owners& owners, net::HttpExchange& exchange,
                       model::CallId call) {
  net::Headers headers;
  headers.add("content-type", "application/x-ndjson");
  THAW_CO_TRY_VOID(co_await exchange.respond(200, std::move(headers)));
  std::uint64_t after = 0;
  while (true) {
    THAW_CO_TRY(const auto entries,
                co_await owners.queue.read(call, after, 10, Instant::max(), nullptr));
    for (const model::LogEntry& entry : entries) {
      after = entry.number;
      const bool is_end = entry.kind == model::LogEntry::Kind::final_;
      const Json line = is_end ? json_of(entry) : Json{{"piece", entry.payload.bytes}};
      THAW_CO_TRY_VOID(co_await exchange.write(codec::dump_json(line) + "\n"));
      if (is_end) {
        owners.queue.forget(call);
        co_return co_await exchange.finish();
      }
    }
    owners.queue.take(call, after);
    if (entries.empty()) {
      co_return Error::cancelled("the call has no end");
    }
  }
}

Task<void> tell_end(const gateway::Owners& owners, net::HttpExchange& exchange,
                    gateway::Identity who, model::CallId call, Duration patience) {
  THAW_CO_TRY(const auto ends, co_await ends_of(owners, std::move(who), std::move(call),
                                                monotonic_now() + patience));
  if (ends.empty()) {
    co_return co_await answer_json(exchange, 202, {{"outcome", nullptr}});
  }
  const bool is_well = ends.front().outcome == model::OutcomeKind::success;
  co_return co_await answer_json(exchange, is_well ? 200 : 500, json_of(ends.front()));
}

Task<void> post_call(const gateway::Owners& owners, gateway::Identity who,
                     net::HttpExchange& exchange, std::string name) {
  THAW_CO_TRY(Found function, find(owners, who, "poll", name));
  THAW_CO_TRY(std::string body, co_await exchange.read_all(most_bytes));
  const bool is_later = number_in_query(exchange, "later", 0) != 0;
  CallOptions options;
  options.durability = is_later ? model::Durability::durable : model::Durability::memory;
  if (number_in_query(exchange, "once", 0) != 0) {
    options.limits.redeliveries = 0;
  }
  if (const std::int64_t most = number_in_query(exchange, "run_for_ms", 0); most > 0) {
    options.limits.run_for = std::chrono::milliseconds(most);
  }
  const Duration patience = function.spec->timeout + function.spec->startup_timeout;
  THAW_CO_TRY(const model::CallId call,
              co_await begin(owners, std::move(function), {std::move(body), bytes_type}, options));
  if (is_later) {
    co_return co_await answer_json(exchange, 202, {{"call", call}});
  }
  if (number_in_query(exchange, "pieces", 0) != 0) {
    co_return co_await tell_pieces(owners, exchange, call);
  }
  co_return co_await tell_end(owners, exchange, std::move(who), call, patience);
}

Task<void> serve_client(const gateway::Owners& owners, net::HttpExchange& exchange) {
  const std::string key(exchange.request().headers.find("poll-key").value_or(""));
  THAW_CO_TRY(gateway::Identity who, identify(owners, key));
  const std::string method = exchange.request().method;
  const std::string path(exchange.request().path());
  if (std::string name = below(path, "/poll/functions/"); !name.empty()) {
    if (method == "PUT") {
      co_return co_await put_function(owners, std::move(who), exchange, std::move(name));
    }
    co_return co_await post_call(owners, std::move(who), exchange, std::move(name));
  }
  model::CallId call(below(path, "/poll/calls/"));
  if (call.empty()) {
    co_return Error::not_found("nothing is served at this path");
  }
  if (method == "DELETE") {
    THAW_CO_TRY_VOID(co_await cancel(owners, std::move(who), call));
    co_return co_await answer_json(exchange, 200, {{"cancelled", call}});
  }
  const auto patience =
      std::chrono::seconds(std::clamp<std::int64_t>(number_in_query(exchange, "wait_s", 0), 0, 60));
  co_return co_await tell_end(owners, exchange, std::move(who), std::move(call), patience);
}

}  // namespace

PollDialect::PollDialect(const gateway::Owners& owners)
    : owners_(owners), runtime_(std::make_unique<PollRuntime>()) {}

PollDialect::~PollDialect() = default;

void PollDialect::add_routes(gateway::HttpRouter& routes) {
  routes.add("/poll",
             [this](net::HttpExchange& exchange) { return serve_client(owners_, exchange); });
}

Task<void> PollDialect::serve_container(net::HttpExchange& exchange, gateway::DoorVisit visit) {
  const std::string path(exchange.request().path());
  if (path == "/next") {
    co_return co_await give_next(owners_, exchange, std::move(visit.container));
  }
  if (path == "/cancelled") {
    co_return co_await give_cancelled(owners_, exchange, std::move(visit.container));
  }
  if (path == "/unfit") {
    co_return co_await take_unfit(owners_, exchange, std::move(visit.container));
  }
  if (std::string input = below(path, "/piece/"); !input.empty()) {
    co_return co_await take_piece(owners_, exchange, std::move(visit.container),
                                  model::InputId(std::move(input)));
  }
  if (std::string input = below(path, "/answer/"); !input.empty()) {
    co_return co_await take_end(owners_, exchange, std::move(visit.container),
                                model::InputId(std::move(input)), model::OutcomeKind::success);
  }
  if (std::string input = below(path, "/error/"); !input.empty()) {
    co_return co_await take_end(owners_, exchange, std::move(visit.container),
                                model::InputId(std::move(input)), model::OutcomeKind::failure);
  }
  if (std::string input = below(path, "/left/"); !input.empty()) {
    co_return co_await take_end(owners_, exchange, std::move(visit.container),
                                model::InputId(std::move(input)), model::OutcomeKind::terminated);
  }
  co_return Error::not_found("nothing is served at this path");
}

// What comes to its address is an input too.
Task<void> PollDialect::serve_web(net::HttpExchange& exchange, gateway::WebTarget target) {
  if (!target.alias.empty()) {
    co_return Error::not_found("functions of this dialect have no aliases");
  }
  const auto spec = target.function->live();
  const auto app = owners_.catalog.apps.find(spec->app.str());
  gateway::Identity owner;  // a stranger's call is the function's own
  owner.workspace = spec->workspace;
  THAW_CO_TRY(std::string body, co_await exchange.read_all(most_bytes));
  const Duration patience = spec->timeout + spec->startup_timeout;
  THAW_CO_TRY(const model::CallId call, co_await begin(owners_, {app, target.function, spec},
                                                       {std::move(body), bytes_type}, {}));
  co_return co_await tell_end(owners_, exchange, std::move(owner), call, patience);
}

}  // namespace thaw::dialects_test
