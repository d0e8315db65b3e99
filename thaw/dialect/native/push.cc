// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/native/push.h"

#include <algorithm>

#include "thaw/async/task_group.h"
#include "thaw/catalog/model_cards.h"
#include "thaw/codec/fields.h"
#include "thaw/dialect/native/card_maker.h"
#include "thaw/dialect/native/functions.h"
#include "thaw/dialect/native/push_request.h"
#include "thaw/gateway/schedules.h"
#include "thaw/image/image.h"
#include "thaw/logs/log_hub.h"

namespace thaw::dialect::native {

using async::Task;
using codec::Json;

namespace {

constexpr std::size_t most_request_bytes = 12u << 20;  // 50,000 files, and a Dockerfile
constexpr std::size_t most_uploads = 50'000;
// Files wait for a COPY behind steps that take hours.
constexpr Duration longest_build = 6h;

image::Recipe recipe_of(const PushRequest& request, const gateway::Identity& who) {
  image::Recipe recipe;
  recipe.dockerfile = request.dockerfile;
  recipe.workspace = who.workspace.str();
  for (const PushedFile& file : request.files) {
    recipe.context[file.path] = {file.sha256_hex, file.mode};
  }
  recipe.build_args = request.build_args;
  return recipe;
}

// Who asks for snapshots of a server takes upon himself what nobody can do for it from outside.
std::string warning_of_snapshots(const model::PushContract& contract) {
  std::string text =
      "thaw: with a snapshot all containers go on from the memory of one: random numbers, keys and "
      "ids that the server has drawn or seeded before it is ready are the same in all of them, and "
      "connections that it has opened are closed. ";
  text += contract.restored_path.empty()
              ? "Give it a path that renews them (--restored), or let it draw them later"
              : "POST " + contract.restored_path + " is to renew them after each restore";
  return text + "; docs/guides/push.md tells which.\n";
}

// One JSON value in a line each.
class Lines {
 public:
  explicit Lines(net::HttpExchange& exchange) : exchange_(exchange) {}
  Task<void> write(Json value) {
    if (!exchange_.responded()) {
      net::Headers headers;
      headers.add("content-type", "application/x-ndjson");
      THAW_CO_TRY_VOID(co_await exchange_.respond(200, std::move(headers)));
    }
    co_return co_await exchange_.write(codec::dump_json(value) + "\n");
  }

 private:
  net::HttpExchange& exchange_;
};

// Tells the log of a build until it has ended.
Task<void> follow_build(Context& cx, const gateway::ImageBuilds::Build& build, std::string stream,
                        Lines& lines) {
  std::uint64_t after = 0;
  while (true) {
    const bool running = build.state == gateway::ImageBuilds::State::running;
    // Of one that has ended: until its last lines are in the log, which says that they are.
    const Instant patience = monotonic_now() + (running ? Duration(1s) : Duration(10s));
    THAW_CO_TRY(const auto some, co_await cx.owners.logs.follow(stream, after, 500, patience));
    for (const logs::Line& line : some) {
      after = line.number;
      THAW_CO_TRY_VOID(co_await lines.write({{"log", line.text}}));
    }
    if (some.empty() && !running) {
      co_return ok();
    }
  }
}

// The image of the recipe, built if it is not there.
Task<model::Image> image_for(Context& cx, gateway::Identity who, image::Recipe recipe,
                             Lines& lines) {
  THAW_CO_TRY(const gateway::Releases::Wanted wanted,
              co_await cx.owners.releases.image_for(who.workspace, std::move(recipe)));
  if (wanted.build) {
    THAW_CO_TRY_VOID(co_await follow_build(cx, *wanted.build, wanted.image.id.str(), lines));
    THAW_CO_TRY_VOID(co_await gateway::Releases::until_built(wanted.build));
  }
  co_return wanted.image;
}

Result<bool> for_tokens(const Context& cx, PushRequest::Callers callers) {
  if (callers == PushRequest::Callers::anyone && !cx.place.is_on_loopback) {
    return Error::failed_precondition(
        "callers: this server is reached from other machines, so that its functions are for token "
        "holders; push with callers 'tokens'");
  }
  return callers == PushRequest::Callers::tokens ||
         (callers == PushRequest::Callers::by_place && !cx.place.is_on_loopback);
}

// The host of a function is its name; in other workspaces than the default one, theirs before it.
std::string label_of(const Context& cx, const gateway::Identity& who, const std::string& name) {
  const catalog::Catalog& catalog = cx.owners.catalog;
  const auto workspace = gateway::scope_of(catalog, who).workspace();
  const bool is_default = who.workspace == catalog.default_workspace();
  const std::string label =
      is_default || !workspace ? name : gateway::lower_case(workspace->name) + "-" + name;
  return gateway::check_label(label) ? label : std::string();
}

// What is pushed of a model is what it is from then on, also after it was gone back to an older
// version: then one version alone has its plain address.
bool takes_the_address(const catalog::Scope& scope, const gateway::Draft& draft) {
  const auto live = scope.alias(draft.spec.id, model::live_alias);
  return live && live->versions.size() == 1 && !draft.shares.contains(model::live_alias);
}

Task<Published> publish(Context& cx, gateway::Identity who, PushRequest request, model::Image image,
                        std::optional<model::ModelCard> card, std::uint64_t turn) {
  THAW_CO_TRY(const bool are_token_holders, for_tokens(cx, request.callers));
  const catalog::Scope scope = gateway::scope_of(cx.owners.catalog, who);
  THAW_CO_TRY(gateway::Draft draft, cx.owners.releases.begin(scope, dialect_name, request.name));
  model::FunctionSpec& spec = draft.spec;
  spec.image = image.id;
  spec.push = request.contract;
  // How its maker says that it is to be asked to end.
  THAW_CO_TRY(const image::BuildResult built, cx.owners.images.find(image.key));
  if (built.image.config.stop_signal != 0) {
    spec.push->stop_signal = built.image.config.stop_signal;
  }
  spec.resources = request.resources;
  spec.scaling = request.scaling;
  spec.timeout = request.timeout;
  spec.startup_timeout = request.startup_timeout;
  spec.snapshot_at = request.snapshot_at;
  spec.schedule = request.schedule;
  spec.reach = model::Reach::inputs;
  if (const std::string label = label_of(cx, who, request.name); !label.empty()) {
    model::WebEndpoint web;
    web.label = label;
    web.kind = model::WebEndpoint::Kind::server_port;
    web.port = request.contract.port;
    web.callers = are_token_holders ? model::WebEndpoint::Callers::token_holders
                                    : model::WebEndpoint::Callers::anyone;
    spec.web.push_back(std::move(web));
  }
  // A host is an extra: who has none is reached below /fn.
  if (!cx.owners.labels.check(draft.app, spec)) {
    spec.web.clear();
  }
  spec.definition =
      write_definition({request.preset, are_token_holders, request.env, request.schedule_path});
  if (card) {
    card->id = store::sha256_hex(spec.version);
    card->inputs = static_cast<std::uint32_t>(std::max(1, spec.scaling.max_concurrent_inputs));
    THAW_CO_TRY_VOID(model::check(*card));
    spec.definition = catalog::with_model_card(*card, spec.definition);
  }
  draft.keep = request.keep_versions > 0 ? request.keep_versions : cx.options.keep_versions;
  draft.shares = request.shares;
  if (card && takes_the_address(scope, draft)) {
    draft.shares[model::live_alias] = 100;
  }
  draft.turn = turn;
  co_return co_await cx.owners.releases.publish(scope, std::move(draft));
}

Task<void> watch(net::HttpExchange& exchange, bool& has_left) {
  THAW_CO_TRY_VOID(co_await exchange.until_gone());
  has_left = true;
  co_return ok();
}

Task<void> push(Context& cx, gateway::Identity who, PushRequest request, Lines& lines,
                const bool& has_left) {
  const std::uint64_t turn = cx.owners.deployments.begin();
  THAW_CO_TRY_VOID(for_tokens(cx, request.callers));
  const catalog::Scope scope = gateway::scope_of(cx.owners.catalog, who);
  if (request.model) {
    THAW_CO_TRY(request.name, function_for(cx, scope, *request.model));
  }
  THAW_CO_TRY(const model::Image image,
              co_await image_for(cx, who, recipe_of(request, who), lines));
  if (has_left) {
    co_return Error::cancelled("the caller has left; nothing is published");
  }
  if (request.snapshot_at == model::SnapshotAt::ready) {
    THAW_CO_TRY_VOID(co_await lines.write({{"log", warning_of_snapshots(request.contract)}}));
  }
  std::optional<model::ModelCard> card;
  if (request.model) {
    THAW_CO_TRY(card, co_await card_for(cx, who, *request.model, image.key));
    // Asked again: another model may have taken the name meanwhile. Nobody waits from here on.
    THAW_CO_TRY(request.name, function_for(cx, scope, *request.model));
  }
  THAW_CO_TRY(const Published published, co_await publish(cx, std::move(who), std::move(request),
                                                          image, std::move(card), turn));
  co_return co_await lines.write({{"function", json_of(cx, published)}});
}

}  // namespace

Task<void> serve_push(Context& cx, gateway::Identity who, net::HttpExchange& exchange) {
  THAW_CO_TRY(const std::string body, co_await exchange.read_all(most_request_bytes));
  THAW_CO_TRY(PushRequest request, read_push_request(body));
  THAW_CO_TRY_VOID(gateway::check_names(who, request.name, request.name));
  who = gateway::for_making(std::move(who));
  if (request.schedule) {
    if (const Result<void> kept = gateway::check(*request.schedule, cx.owners.zones); !kept) {
      co_return Error::invalid_argument("schedule: " + kept.error().message());
    }
  }
  Lines lines(exchange);
  bool has_left = false;
  async::TaskGroup watches(cx.owners.loop);
  watches.start("push's caller", watch(exchange, has_left));
  Result<void> pushed = co_await push(cx, std::move(who), std::move(request), lines, has_left);
  co_await async::forget_cancellation();
  (void)co_await watches.stop();
  if (!pushed && !exchange.responded()) {
    co_return pushed;
  }
  if (!pushed && pushed.error().code() != Code::cancelled) {
    THAW_CO_TRY_VOID(co_await lines.write({{"error", pushed.error().message()}}));
  } else if (!pushed) {
    co_return pushed;
  }
  co_return co_await exchange.finish();
}

Task<void> serve_uploads(Context& cx, gateway::Identity who, net::HttpExchange& exchange) {
  THAW_CO_TRY(const std::string body, co_await exchange.read_all(most_request_bytes));
  THAW_CO_TRY(const Json json, codec::parse_json(body));
  codec::Fields fields(json);
  std::map<std::string, std::uint64_t> sizes;
  const Json& files = fields.items("files");
  if (files.size() > most_uploads) {
    co_return Error::invalid_argument("files: at most " + std::to_string(most_uploads));
  }
  for (const Json& file : files) {
    std::string digest;
    std::uint64_t size = 0;
    codec::Fields one(file);
    one.read("sha256", digest);
    one.read("size", size);
    fields.include(one);
    if (digest.size() != 64 || digest.find_first_not_of("0123456789abcdef") != std::string::npos) {
      co_return Error::invalid_argument("files: sha256 is 64 digits of lower-case hex");
    }
    sizes[digest] = size;
  }
  if (const Result<void> read = fields.outcome(); !read) {
    co_return Error::invalid_argument(read.error().message());
  }
  std::vector<std::string> names;
  for (const auto& [digest, size] : sizes) {
    names.push_back(digest);
  }
  const std::string owner = who.workspace.str();
  THAW_CO_TRY(const auto missing,
              co_await cx.owners.blobs.missing(owner, std::move(names), longest_build));
  // Who asks on a socket of this machine has no address of its own to answer at.
  const auto host = exchange.request().headers.find("host");
  const bool is_local = exchange.request().peer.transport == net::Peer::Transport::unix_socket;
  const gateway::WebOrigin origin = cx.place.proxies.origin_of(exchange.request());
  const gateway::BaseUrl base =
      is_local || !host ? cx.place.base() : gateway::BaseUrl{origin.scheme, origin.authority};
  Json out = Json::array();
  for (const std::string& digest : missing) {
    const auto urls = cx.owners.blob_gate.upload_urls(base, owner, digest, sizes[digest]);
    out.push_back({{"sha256", digest}, {"part", urls.part}, {"completion", urls.completion}});
  }
  co_return co_await exchange.answer(200, "application/json",
                                     codec::dump_json({{"missing", out}}) + "\n");
}

}  // namespace thaw::dialect::native
