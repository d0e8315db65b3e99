// SPDX-License-Identifier: Apache-2.0
#include "tests/dialects/push_dialect.h"

#include <algorithm>
#include <utility>

#include "tests/dialects/house.h"
#include "thaw/codec/fields.h"
#include "thaw/codec/http_message.h"

namespace thaw::dialects_test {

using async::Task;
using codec::Json;

namespace {

constexpr std::size_t most_bytes = 16u << 20;
constexpr const char* job_type = "application/x-job+json";

class PushRuntime final : public control::Runtime {
 public:
  Task<void> complete_plan(std::shared_ptr<const model::FunctionSpec> spec,
                           worker::LaunchPlan& plan) override {
    plan.files.push_back({"server.py", spec->definition});
    co_return ok();
  }
};

// What a request may say; each operation looks at its own.
struct Order {
  std::string key, op, name, server, label, job;
  std::int64_t window_s = 60, timeout_s = 60, inputs = 1, wait_s = 0;
  Json input;
};

Result<Order> read_order(const std::string& body) {
  THAW_TRY(const Json json, codec::parse_json(body));
  Order order;
  codec::Fields fields(json);
  const std::pair<const char*, std::string*> texts[] = {
      {"key", &order.key},       {"op", &order.op},       {"name", &order.name},
      {"server", &order.server}, {"label", &order.label}, {"job", &order.job}};
  for (const auto& [name, value] : texts) {
    fields.read(name, *value);
  }
  fields.read("window_s", order.window_s);
  fields.read("timeout_s", order.timeout_s);
  fields.read("inputs", order.inputs);
  fields.read("wait_s", order.wait_s);
  order.input = json.is_object() ? json.value("input", Json()) : Json();
  if (const auto read = fields.outcome(); !read) {
    return Error::invalid_argument(read.error().message());
  }
  return order;
}

Task<void> deploy(const gateway::Owners& owners, gateway::Identity who, net::HttpExchange& exchange,
                  Order order) {
  model::FunctionSpec spec;
  spec.dialect = "push";
  spec.name = order.name;
  spec.definition = std::move(order.server);
  spec.scaling.scaledown_window = std::chrono::seconds(order.window_s);
  spec.scaling.max_concurrent_inputs = static_cast<int>(order.inputs);
  spec.timeout = std::chrono::seconds(order.timeout_s);
  model::PushContract& contract = spec.push.emplace();
  contract.port = 8765;
  contract.ready.by = model::PushContract::Ready::By::field;
  contract.ready.path = "/ready";
  contract.ready.pointer = "/state";
  contract.ready.good = {"up"};
  contract.target = "/work";
  contract.arguments = {"python3", "-u", "/run/thaw/server.py"};
  if (!order.label.empty()) {
    spec.web.push_back({.label = order.label,
                        .kind = model::WebEndpoint::Kind::server_port,
                        .port = contract.port});
  }
  THAW_CO_TRY(const model::FunctionId id,
              co_await publish(owners, std::move(who), std::move(spec)));
  co_return co_await answer_json(exchange, 200, {{"deployed", id}});
}

// The server's own words, or the platform's where it had none.
Json json_of(const model::LogEntry& end) {
  Json json = {{"ended", model::outcome_name(end.outcome)}, {"tries", end.attempts}};
  if (end.payload.content_type == codec::http_content_type) {
    const auto answer = codec::read_http_response(end.payload.bytes);
    json["status"] = answer ? answer->status : 0;
    json["output"] = answer ? answer->body : "";
  } else if (end.failure) {
    json["output"] = end.failure->message;
  }
  return json;
}

Task<void> tell(const gateway::Owners& owners, net::HttpExchange& exchange, gateway::Identity who,
                model::CallId job, Duration patience) {
  THAW_CO_TRY(const auto ends,
              co_await ends_of(owners, std::move(who), job, monotonic_now() + patience));
  Json json = ends.empty() ? Json{{"ended", nullptr}} : json_of(ends.front());
  co_return co_await answer_json(exchange, 200, std::move(json));
}

Task<void> serve(const gateway::Owners& owners, net::HttpExchange& exchange) {
  THAW_CO_TRY(const std::string body, co_await exchange.read_all(most_bytes));
  THAW_CO_TRY(Order order, read_order(body));
  THAW_CO_TRY(gateway::Identity who, identify(owners, order.key));
  const model::CallId job(order.job);
  if (order.op == "deploy") {
    co_return co_await deploy(owners, std::move(who), exchange, std::move(order));
  }
  if (order.op == "result") {
    const auto patience = std::chrono::seconds(std::clamp<std::int64_t>(order.wait_s, 0, 60));
    co_return co_await tell(owners, exchange, std::move(who), job, patience);
  }
  if (order.op == "abort") {
    THAW_CO_TRY_VOID(co_await cancel(owners, std::move(who), job));
    co_return co_await answer_json(exchange, 200, {{"aborted", job}});
  }
  if (order.op != "run" && order.op != "enqueue") {
    co_return Error::invalid_argument("op: deploy, run, enqueue, result or abort");
  }
  const bool is_run = order.op == "run";
  THAW_CO_TRY(Found function, find(owners, who, "push", order.name));
  const Duration patience = function.spec->timeout + function.spec->startup_timeout;
  CallOptions options;
  options.durability = is_run ? model::Durability::memory : model::Durability::durable;
  model::Payload payload{codec::dump_json(order.input), job_type};
  THAW_CO_TRY(const model::CallId made,
              co_await begin(owners, std::move(function), std::move(payload), options));
  if (is_run) {
    co_return co_await tell(owners, exchange, std::move(who), made, patience);
  }
  co_return co_await answer_json(exchange, 200, {{"job", made}});
}

}  // namespace

PushDialect::PushDialect(const gateway::Owners& owners)
    : owners_(owners), runtime_(std::make_unique<PushRuntime>()) {}

PushDialect::~PushDialect() = default;

void PushDialect::add_routes(gateway::HttpRouter& routes) {
  routes.add("/jobs", [this](net::HttpExchange& exchange) { return serve(owners_, exchange); });
}

Task<void> PushDialect::serve_web(net::HttpExchange& exchange, gateway::WebTarget target) {
  if (!target.alias.empty()) {
    co_return Error::not_found("functions of this dialect have no aliases");
  }
  const std::string_view query = exchange.request().query();
  const std::string path(exchange.request().path().substr(target.root_path.size()));
  gateway::Passage passage;
  passage.spec = target.function->live();
  passage.served_by = passage.spec->id;
  passage.target = (path.empty() ? "/" : path) + (query.empty() ? "" : "?" + std::string(query));
  passage.root_path = std::move(target.root_path);
  passage.origin = proxies_.origin_of(exchange.request());
  THAW_CO_TRY(const std::optional<model::Outcome> start,
              co_await owners_.passages.lead(exchange, std::move(passage)));
  if (start) {
    co_return Error::unavailable(start->failure ? start->failure->message : "it does not start");
  }
  co_return ok();
}

}  // namespace thaw::dialects_test
