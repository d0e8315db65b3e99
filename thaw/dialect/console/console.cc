// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/console/console.h"

#include <algorithm>
#include <cctype>
#include <charconv>

#include "thaw/codec/encoding.h"
#include "thaw/codec/json.h"
#include "thaw/codec/prometheus.h"

namespace thaw::dialect::console {

using async::Task;
using codec::Json;

namespace {

using control::Status;
constexpr Status counted_states[] = {Status::starting, Status::busy,    Status::warm,
                                     Status::frozen,   Status::standby, Status::stopping};

// Milliseconds between two moments of a start; null where one was not reached.
Json stage(Instant from, Instant to) {
  return from == Instant{} || to == Instant{} ? Json(nullptr) : Json(to_ms(to - from));
}

Json stages_of(const control::ContainerView& view) {
  const control::StartMoments& m = view.moments;
  return {
      {"queue", stage(m.demanded, m.launching)},
      {"sandbox", stage(m.launching, m.sandbox)},
      {"interpreter", stage(m.sandbox, m.interpreter)},
      {"imports", stage(m.interpreter, m.hello)},
      {"user_code", stage(m.hello, m.ready)},
      {"call", stage(m.ready, m.first_output)},
      {"total", stage(m.demanded, m.first_output)},
      {"thaw", view.thaw_time == Duration::zero() ? Json(nullptr) : Json(to_ms(view.thaw_time))}};
}

Json metered_of(const control::Metered& metered) {
  return {{"processor_s", to_seconds(metered.processor)}, {"memory_s", to_seconds(metered.memory)}};
}

Json seconds_of(const control::StateTimes& times) {
  Json seconds = Json::object();
  for (const auto status : counted_states) {
    const auto found = times.find(status);
    seconds[std::string(control::status_name(status))] =
        found == times.end() ? 0.0 : to_seconds(found->second);
  }
  return seconds;
}

std::string workspace_name(const catalog::Catalog& catalog, const model::WorkspaceId& id) {
  const auto workspace = catalog.workspaces.find(id.str());
  return workspace ? workspace->name : id.str();
}

Json json_of(const catalog::Catalog& catalog, const control::ContainerView& view) {
  const auto app = catalog.apps.find(view.spec->app.str());
  const model::Level level = view.is_frozen ? model::Level::frozen : view.level;
  Json fell_from = Json::array();
  for (const worker::Fallback& fallback : view.fallbacks) {
    fell_from.push_back({{"level", model::level_key(fallback.level)},
                         {"reason", fallback.reason},
                         {"detail", fallback.detail}});
  }
  return {{"container", view.id},
          {"workspace", workspace_name(catalog, view.spec->workspace)},
          {"app", app ? app->title() : ""},
          {"app_id", view.spec->app},
          {"function", view.spec->name},
          {"status", control::status_name(view.status)},
          {"level", model::level_key(level)},
          {"level_name", model::level_name(level)},
          {"started_by", model::level_key(view.level)},
          {"fell_from", std::move(fell_from)},
          {"age_s", to_seconds(view.lived)},
          {"created_at", to_seconds(view.created_at)},
          {"inputs", view.inputs},
          {"calls", view.calls_served},
          {"memory_bytes", view.memory_bytes},
          {"pid", view.pid},
          {"end", view.end},
          {"seconds", seconds_of(view.times)},
          {"metered", metered_of(control::metered(view.times))},
          {"stages_ms", stages_of(view)}};
}

Json json_of(const logs::Line& line) {
  return {{"number", line.number},
          {"time", to_seconds(line.time)},
          {"channel", line.channel == logs::Channel::out   ? "stdout"
                      : line.channel == logs::Channel::err ? "stderr"
                                                           : "info"},
          {"container", line.container},
          {"function", line.function},
          {"call", line.call},
          {"text", line.text}};
}

Json json_of(const catalog::Catalog& catalog, const control::FunctionView& view) {
  const auto app = catalog.apps.find(view.spec->app.str());
  const std::string of = view.target.is_pinned() ? "@" + view.target.version : "";
  Json out = {{"function", view.spec->name + of},
              {"id", view.spec->id},
              {"workspace", workspace_name(catalog, view.spec->workspace)},
              {"app", app ? app->title() : ""},
              {"version", view.spec->version},
              {"containers", view.containers},
              {"idle_s", to_seconds(view.idle)},
              {"window_s", to_seconds(view.plan.window())},
              {"because", policy::reason_name(view.plan.reason)},
              {"start_ms", to_ms(view.start_time)},
              {"call_ms", to_ms(view.call_time)},
              {"tries", Json::array()},
              {"warm_spans_s", Json::array()},
              {"levels", Json::object()}};
  for (const policy::WarmSpan& span : view.plan.spans) {
    out["warm_spans_s"].push_back({to_seconds(span.from), to_seconds(span.until)});
  }
  if (const auto ahead = view.plan.ahead_of(view.idle)) {
    out["ahead_in_s"] = to_seconds(ahead->from - view.idle);
  }
  for (const model::Level level : view.levels) {
    out["tries"].push_back(model::level_key(level));
  }
  for (std::size_t i = 0; i < view.records.all.size(); ++i) {
    const policy::LevelRecord& record = view.records.all[i];
    if (record.starts > 0 || record.failures > 0) {
      out["levels"][std::string(model::level_key(static_cast<model::Level>(i)))] = {
          {"starts", record.starts},
          {"start_ms", to_ms(record.time)},
          {"memory_bytes", record.memory_bytes},
          {"failures_in_a_row", record.failures}};
    }
  }
  return out;
}

Json json_of(const image::ImportedImage& image) {
  return {{"name", image.name},     {"key", image.key},
          {"python", image.python}, {"layers", image.layers},
          {"bytes", image.bytes},   {"imported_at", to_seconds(image.imported_at)}};
}

// By id, by deployed name, or by the description of the newest app that has it; of one workspace,
// if one is named.
std::shared_ptr<const model::App> find_app(const catalog::Catalog& catalog, const std::string& name,
                                           const std::string& workspace) {
  if (auto by_id = catalog.apps.find(name)) {
    return by_id;
  }
  std::shared_ptr<const model::App> best;
  for (const auto& [id, app] : catalog.apps.all()) {
    const bool matches =
        (name.empty() || app->name == name || app->description == name) &&
        (workspace.empty() || workspace_name(catalog, app->workspace) == workspace);
    if (matches && (!best || best->created_at < app->created_at)) {
      best = app;
    }
  }
  return best;
}

void add_freezing(codec::PrometheusText& text, const control::FreezerCounters& counts) {
  using codec::MetricType;
  text.metric("thaw_freezes_total", MetricType::counter, "Idle containers that were frozen.")
      .sample(static_cast<double>(counts.freezes));
  text.metric("thaw_freezes_abandoned_total", MetricType::counter,
              "Freezes that ended because something happened in the container meanwhile.")
      .sample(static_cast<double>(counts.abandoned));
  text.metric("thaw_freeze_failures_total", MetricType::counter,
              "Freezes that the kernel did not manage in time.")
      .sample(static_cast<double>(counts.failures));
  text.metric("thaw_thaws_total", MetricType::counter, "Frozen containers that were thawed.")
      .sample(static_cast<double>(counts.thaws));
  text.metric("thaw_thaw_seconds_total", MetricType::counter, "Time of all thaws together.")
      .sample(to_seconds(counts.thaw_time));
  text.metric("thaw_thaw_seconds_max", MetricType::gauge, "Time of the longest thaw.")
      .sample(to_seconds(counts.longest_thaw));
  text.metric("thaw_frozen_memory_reclaimed_bytes_total", MetricType::counter,
              "Memory of frozen containers that was paged out.")
      .sample(static_cast<double>(counts.reclaimed_bytes));
}

}  // namespace

Task<void> Console::serve_admin(net::HttpExchange& exchange) {
  const auto who = parts_.access.from_socket(exchange.request().peer);
  if (!who || who->kind != gateway::Identity::Kind::admin) {
    co_return co_await exchange.answer_error(Error::permission_denied(
        "/admin is served on the admin socket only; use the `thaw` command on the server's host"));
  }
  const auto body = co_await answer_for(exchange);
  if (!body) {
    co_return co_await exchange.answer_error(body.error());
  }
  co_return co_await exchange.answer(200, "application/json", *body);
}

Task<std::string> Console::answer_for(net::HttpExchange& exchange) {
  const std::string path(exchange.request().path());
  const std::string method = exchange.request().method;
  if (path == "/admin/env") {
    THAW_CO_TRY(const auto variables, co_await parts_.client_environment());
    co_return codec::dump_json(variables);
  }
  if (path == "/admin/ps" || path == "/admin/starts") {
    Json list = Json::array();
    const auto views =
        path == "/admin/ps" ? parts_.fleet.containers() : parts_.fleet.finished_starts();
    for (const control::ContainerView& view : views) {
      list.push_back(json_of(parts_.catalog, view));
    }
    co_return codec::dump_json(list);
  }
  if (path == "/admin/functions") {
    Json list = Json::array();
    for (const control::FunctionView& view : parts_.fleet.functions()) {
      list.push_back(json_of(parts_.catalog, view));
    }
    co_return codec::dump_json(list);
  }
  if (path == "/admin/aside") {
    THAW_CO_TRY(const auto counts, co_await parts_.set_aside());
    co_return codec::dump_json(counts);
  }
  if (path == "/admin/logs") {
    co_return co_await logs(exchange);
  }
  if (path.starts_with("/admin/calls/")) {
    co_return co_await call(
        exchange, codec::percent_decode(path.substr(std::string_view("/admin/calls/").size())));
  }
  if (path == "/admin/workspaces" && method == "POST") {
    co_return co_await create_workspace(exchange);
  }
  if (path == "/admin/workspaces") {
    Json list = Json::array();
    for (const auto& [id, workspace] : parts_.catalog.workspaces.all()) {
      list.push_back({{"workspace", id}, {"name", workspace->name}});
    }
    co_return codec::dump_json(list);
  }
  if (path == "/admin/routes") {
    co_return codec::dump_json(Json(parts_.routes()));
  }
  if (path == "/admin/logins" && method == "POST") {
    co_return co_await approve_login(exchange);
  }
  if (path == "/admin/tokens" || path.starts_with("/admin/tokens/")) {
    co_return co_await tokens(exchange);
  }
  if (path == "/admin/images" && method == "POST") {
    co_return co_await import_image(exchange);
  }
  if (path == "/admin/images") {
    Json list = Json::array();
    for (const image::ImportedImage& image : parts_.images.imported()) {
      list.push_back(json_of(image));
    }
    co_return codec::dump_json(list);
  }
  if (path.starts_with("/admin/images/") && method == "DELETE") {
    const std::string name =
        codec::percent_decode(path.substr(std::string_view("/admin/images/").size()));
    THAW_CO_TRY_VOID(parts_.images.forget_import(name));
    co_return codec::dump_json({{"removed", name}});
  }
  co_return Error::not_found("the console has no " + method + " " + path);
}

// ?app=NAME|ID &after=N &follow=1: lines, and where to go on.
Task<std::string> Console::logs(net::HttpExchange& exchange) {
  const std::string query(exchange.request().query());
  const std::string name = codec::query_value(query, "app");
  const auto app = find_app(parts_.catalog, name, codec::query_value(query, "workspace"));
  if (!app) {
    co_return Error::not_found(name.empty() ? "no app exists yet"
                                            : "no app is called '" + name + "'");
  }
  const std::string after_text = codec::query_value(query, "after");
  std::uint64_t after = 0;
  std::from_chars(after_text.data(), after_text.data() + after_text.size(), after);
  const bool follow = codec::query_value(query, "follow") == "1";
  const std::string stream = app->id.str();
  const Instant until = monotonic_now() + (follow ? Duration(20s) : Duration::zero());
  THAW_CO_TRY(const std::vector<logs::Line> lines,
              co_await parts_.logs.follow(stream, after, 1000, until));
  Json out = {{"app", app->id},
              {"workspace", workspace_name(parts_.catalog, app->workspace)},
              {"lines", Json::array()}};
  for (const logs::Line& line : lines) {
    out["lines"].push_back(json_of(line));
    after = line.number;
  }
  out["after"] = after;
  out["ended"] = parts_.logs.ended(stream) && parts_.logs.last_number(stream) <= after;
  co_return codec::dump_json(out);
}

Task<std::string> Console::call(net::HttpExchange&, std::string id) {
  const model::CallId call_id(id);
  THAW_CO_TRY(const queue::CallInfo info, co_await parts_.queue.info(call_id));
  std::function<bool(const model::LogEntry&)> finals = [](const model::LogEntry& entry) {
    return entry.kind == model::LogEntry::Kind::final_;
  };
  Json out = {{"call", id},
              {"function", info.call.function},
              {"inputs", info.inputs},
              {"unfinished", info.unfinished},
              {"created_at", to_seconds(info.created_at)},
              {"origin", model::origin_name(info.call.origin)},
              {"durable", info.call.durability == model::Durability::durable},
              {"outputs", Json::array()}};
  if (info.started_at) {
    out["started_at"] = to_seconds(*info.started_at);
  }
  if (info.finished_at) {
    out["finished_at"] = to_seconds(*info.finished_at);
  }
  THAW_CO_TRY(const std::vector<model::LogEntry> entries,
              co_await parts_.queue.read(call_id, 0, 1000, monotonic_now(), std::move(finals)));
  for (const model::LogEntry& entry : entries) {
    out["outputs"].push_back({{"input", entry.input},
                              {"index", entry.index},
                              {"attempts", entry.attempts},
                              {"outcome", model::outcome_name(entry.outcome)},
                              {"at", to_seconds(entry.at)},
                              {"container", entry.container}});
    if (entry.failure) {
      out["outputs"].back()["failure"] = {{"type", entry.failure->type},
                                          {"message", entry.failure->message}};
    }
  }
  co_return codec::dump_json(out);
}

namespace {

// Text of a field of a request; empty if it has none.
std::string text_of(const Json& request, const char* field) {
  const auto found = request.find(field);
  return found != request.end() && found->is_string() ? found->get<std::string>() : std::string();
}

}  // namespace

Result<model::WorkspaceId> Console::workspace_asked_for(const std::string& name) const {
  if (name.empty()) {
    return parts_.catalog.default_workspace();
  }
  THAW_TRY(const auto found, parts_.access.workspace_named(name));
  return found->id;
}

// Who asked for a token and was shown this code is given one.
Task<std::string> Console::approve_login(net::HttpExchange& exchange) {
  THAW_CO_TRY(const std::string body, co_await exchange.read_all(64 << 10));
  THAW_CO_TRY(const Json request, codec::parse_json(body.empty() ? "{}" : body));
  THAW_CO_TRY(const model::WorkspaceId workspace,
              workspace_asked_for(text_of(request, "workspace")));
  THAW_CO_TRY(const gateway::Logins::View login,
              parts_.logins.approve(text_of(request, "code"), workspace, text_of(request, "name")));
  co_return codec::dump_json(
      {{"from", login.from}, {"workspace", workspace_name(parts_.catalog, workspace)}});
}

Task<std::string> Console::create_workspace(net::HttpExchange& exchange) {
  THAW_CO_TRY(const std::string body, co_await exchange.read_all(64 << 10));
  THAW_CO_TRY(const Json request, codec::parse_json(body.empty() ? "{}" : body));
  THAW_CO_TRY(const model::Workspace made,
              co_await parts_.access.create_workspace(text_of(request, "name")));
  co_return codec::dump_json({{"workspace", made.id}, {"name", made.name}});
}

// The path is one of this machine: who may ask here is its administrator.
Task<std::string> Console::import_image(net::HttpExchange& exchange) {
  THAW_CO_TRY(const std::string body, co_await exchange.read_all(64 << 10));
  THAW_CO_TRY(const Json request, codec::parse_json(body.empty() ? "{}" : body));
  THAW_CO_TRY(
      const image::ImportedImage made,
      co_await parts_.images.import_image(text_of(request, "path"), text_of(request, "name")));
  co_return codec::dump_json(json_of(made));
}

// Clients print this address after a deployment. Anyone may read it, so it says no more than the
// address itself, and the same of an app that does not exist.
Task<void> Console::serve_app_page(net::HttpExchange& exchange) {
  const std::string_view prefix = "/apps/";
  const std::string_view path = exchange.request().path();
  const std::string id(path.substr(std::min(path.size(), prefix.size())));
  const bool is_id = id.starts_with("ap-") && id.size() <= 64 &&
                     std::all_of(id.begin(), id.end(),
                                 [](unsigned char c) { return std::isalnum(c) != 0 || c == '-'; });
  if (!is_id) {
    co_return co_await exchange.answer(404, "text/plain", "no app has this address\n");
  }
  co_return co_await exchange.answer(
      200, "text/plain",
      "Thaw has no page for app " + id + ". On the server's machine:\n\n  thaw logs " + id +
          "    what it printed\n  thaw ps" + std::string(id.size() + 5, ' ') + "its containers\n");
}

Task<void> Console::serve_health(net::HttpExchange& exchange) {
  co_return co_await exchange.answer(
      200, "application/json",
      codec::dump_json({{"status", "ok"},
                        {"version", THAW_VERSION},
                        {"uptime_s", to_seconds(monotonic_now() - began_)}}) +
          "\n");
}
void Console::add_storage(codec::PrometheusText& text) const {
  using codec::MetricType;
  text.metric("thaw_disk_bytes", MetricType::gauge,
              "Disk of the data folder by whose it is and what for; volumes and containers as last "
              "looked at.");
  for (const auto& [owner, use] : parts_.disk.all()) {
    for (std::size_t i = 0; i < store::DiskShares::kinds; ++i) {
      text.sample(static_cast<double>(use[i]),
                  {{"workspace", owner}, {"kind", store::DiskShares::kind_names[i]}});
    }
  }
  text.metric("thaw_disk_limit_bytes", MetricType::gauge,
              "What one workspace may have of the disk; 0: no limit.")
      .sample(static_cast<double>(parts_.disk.quota()));
  const control::StorageCounters& storage = parts_.storage.counters();
  text.metric("thaw_storage_sweeps_total", MetricType::counter, "Walks for what nothing needs.")
      .sample(static_cast<double>(storage.rounds));
  text.metric("thaw_storage_sweep_failures_total", MetricType::counter,
              "Of these walks those that could not be ended.")
      .sample(static_cast<double>(storage.failed_rounds));
  text.metric("thaw_storage_removed_blobs_total", MetricType::counter,
              "Blobs that nothing needed any more.")
      .sample(static_cast<double>(storage.blobs_removed));
  text.metric("thaw_storage_removed_bytes_total", MetricType::counter,
              "Bytes of blobs that nothing needed any more.")
      .sample(static_cast<double>(storage.bytes_removed));
  text.metric("thaw_storage_removed_mounts_total", MetricType::counter,
              "Mounts that nothing needed any more.")
      .sample(static_cast<double>(storage.mounts_removed));
  text.metric("thaw_containers_past_disk_total", MetricType::counter,
              "Containers that were ended for the disk they took.")
      .sample(static_cast<double>(parts_.disk_watch.counters().ended));
}

namespace {

// A peer on this machine's own loopback that speaks for itself. A proxy there speaks for others,
// and says so.
bool is_local(const net::HttpRequest& request) {
  const bool is_loopback =
      request.peer.transport == net::Peer::Transport::tcp &&
      (request.peer.address.starts_with("127.") || request.peer.address.starts_with("[::1]:") ||
       request.peer.address.starts_with("::1:"));
  return is_loopback && !request.headers.find("x-forwarded-for") &&
         !request.headers.find("x-forwarded-host") && !request.headers.find("forwarded") &&
         !request.headers.find("via");
}

}  // namespace

// The numbers are those of all workspaces: for whoever runs the server.
bool Console::may_read_metrics(const net::HttpRequest& request) const {
  if (is_local(request)) {
    return true;
  }
  constexpr gateway::Operation reading = {"the server's metrics", model::TokenScope::read,
                                          gateway::Operation::Of::workspace};
  const auto who = parts_.access.from_request(request, reading);
  return who && who->kind != gateway::Identity::Kind::container &&
         who->workspace == parts_.catalog.default_workspace();
}

Task<void> Console::serve_metrics(net::HttpExchange& exchange) {
  if (!may_read_metrics(exchange.request())) {
    net::Headers headers;
    headers.add("www-authenticate", "Basic realm=\"thaw\"");
    headers.add("content-length", "0");
    THAW_CO_TRY_VOID(co_await exchange.respond(401, std::move(headers)));
    co_return co_await exchange.finish();
  }
  using codec::MetricType;
  codec::PrometheusText text;
  const net::Server::Stats net = parts_.server.stats();
  const control::FleetCounters& counts = parts_.fleet.counters();
  std::map<std::string_view, int> by_status;
  std::uint64_t memory = 0;
  for (const control::ContainerView& view : parts_.fleet.containers()) {
    ++by_status[control::status_name(view.status)];
    memory += view.memory_bytes;
  }
  text.metric("thaw_grpc_calls_total", MetricType::counter, "gRPC calls received.")
      .sample(static_cast<double>(net.grpc_calls));
  text.metric("thaw_http_requests_total", MetricType::counter, "Plain HTTP requests received.")
      .sample(static_cast<double>(net.http_requests));
  text.metric("thaw_tls_handshakes_open", MetricType::gauge, "TLS handshakes under way.")
      .sample(static_cast<double>(net.handshakes_open));
  text.metric("thaw_tls_handshakes_total", MetricType::counter, "TLS handshakes that succeeded.")
      .sample(static_cast<double>(net.handshakes_done));
  text.metric("thaw_tls_handshakes_failed_total", MetricType::counter,
              "TLS handshakes that were refused, broken off or too slow.")
      .sample(static_cast<double>(net.handshakes_failed));
  text.metric("thaw_connections_open", MetricType::gauge, "Open connections.")
      .sample(static_cast<double>(net.connections_open));
  for (const Parts::Count& count :
       parts_.more_counts ? parts_.more_counts() : std::vector<Parts::Count>()) {
    text.metric(count.name,
                count.kind == Parts::Count::Kind::gauge ? MetricType::gauge : MetricType::counter,
                count.what)
        .sample(count.value);
  }
  text.metric("thaw_containers", MetricType::gauge, "Containers by status.");
  for (const Status status : counted_states) {
    const std::string_view name = control::status_name(status);
    text.sample(by_status[name], {{"status", name}});
  }
  add_storage(text);
  text.metric("thaw_container_seconds_total", MetricType::counter,
              "Seconds that containers spent in each state.");
  const control::StateTimes times = parts_.fleet.container_times();
  for (const Status status : counted_states) {
    const auto found = times.find(status);
    text.sample(found == times.end() ? 0.0 : to_seconds(found->second),
                {{"state", control::status_name(status)}});
  }
  const control::Metered metered = control::metered(times);
  text.metric("thaw_metered_seconds_total", MetricType::counter,
              "Container seconds by what they hold; frozen ones hold memory only, and those that "
              "stand by are nobody's.");
  text.sample(to_seconds(metered.processor), {{"resource", "processor"}});
  text.sample(to_seconds(metered.memory), {{"resource", "memory"}});
  text.metric("thaw_answers_total", MetricType::counter,
              "Answered calls and web requests, by what their container was before.");
  for (const auto level : {model::Level::warm, model::Level::frozen, model::Level::forked,
                           model::Level::restored, model::Level::booted}) {
    const auto found = counts.answers.find(level);
    text.sample(found == counts.answers.end() ? 0.0 : static_cast<double>(found->second),
                {{"level", model::level_key(level)}});
  }
  add_freezing(text, parts_.fleet.freezing());
  const control::SnapshotCounters& snapshots = parts_.fleet.snapshot_counters();
  text.metric("thaw_snapshots_taken_total", MetricType::counter, "Memory snapshots taken.")
      .sample(static_cast<double>(snapshots.taken));
  text.metric("thaw_snapshots_refused_total", MetricType::counter,
              "Versions of which no memory snapshot came about, or of no use.")
      .sample(static_cast<double>(snapshots.refused));
  const control::StandbyCounters& standby = parts_.fleet.standby_counters();
  text.metric("thaw_standbys_total", MetricType::counter,
              "Containers that stood by, by what became of them.");
  text.sample(static_cast<double>(standby.made), {{"event", "made"}});
  text.sample(static_cast<double>(standby.taken), {{"event", "taken"}});
  text.sample(static_cast<double>(standby.unused), {{"event", "unused"}});
  text.sample(static_cast<double>(standby.failed), {{"event", "failed"}});
  text.metric("thaw_containers_memory_bytes", MetricType::gauge, "Memory of all containers.")
      .sample(static_cast<double>(memory));
  text.metric("thaw_container_starts_total", MetricType::counter, "Container starts by level.");
  for (const auto level : {model::Level::forked, model::Level::restored, model::Level::booted}) {
    const auto found = counts.starts.find(level);
    text.sample(found == counts.starts.end() ? 0.0 : static_cast<double>(found->second),
                {{"level", std::string(model::level_key(level))}});
  }
  text.metric("thaw_start_fallbacks_total", MetricType::counter,
              "Starts that a level could not do, by that level and why.");
  for (const auto& [what, count] : counts.fallbacks) {
    text.sample(static_cast<double>(count),
                {{"level", std::string(model::level_key(what.first))}, {"reason", what.second}});
  }
  text.metric("thaw_container_starts_ahead_total", MetricType::counter,
              "Starts ahead of an expected call.")
      .sample(static_cast<double>(counts.started_ahead));
  text.metric("thaw_container_start_failures_total", MetricType::counter,
              "Containers that ended before they were ready.")
      .sample(static_cast<double>(counts.start_failures));
  text.metric("thaw_inputs_expired_total", MetricType::counter,
              "Inputs that waited for a container longer than their calls allow.")
      .sample(static_cast<double>(parts_.queue.counters().expired));
  text.metric("thaw_container_crashes_total", MetricType::counter,
              "Containers that ended while they worked.")
      .sample(static_cast<double>(counts.crashes));
  text.metric("thaw_out_of_memory_total", MetricType::counter,
              "Containers killed for their memory.")
      .sample(static_cast<double>(counts.out_of_memory));
  text.metric("thaw_input_timeouts_total", MetricType::counter,
              "Inputs that ran past their timeout.")
      .sample(static_cast<double>(counts.input_timeouts));
  if (const auto aside = co_await parts_.set_aside()) {
    text.metric("thaw_records_set_aside", MetricType::gauge,
                "Stored records that could not be read and lie aside for a person.");
    for (const auto& [table, count] : *aside) {
      text.sample(static_cast<double>(count), {{"table", table}});
    }
    if (aside->empty()) {
      text.sample(0);
    }
  }
  co_return co_await exchange.answer(200, "text/plain; version=0.0.4", text.str());
}

}  // namespace thaw::dialect::console
