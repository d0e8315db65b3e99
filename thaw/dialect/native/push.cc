// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/native/push.h"

#include "thaw/async/task_group.h"
#include "thaw/codec/fields.h"
#include "thaw/dialect/native/card_maker.h"
#include "thaw/dialect/native/functions.h"
#include "thaw/dialect/native/image_push.h"
#include "thaw/dialect/native/publish.h"
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

Task<void> watch(net::HttpExchange& exchange, bool& has_left) {
  THAW_CO_TRY_VOID(co_await exchange.until_gone());
  has_left = true;
  co_return ok();
}

// `body`: the request, as it came.
Task<void> push(Context& cx, gateway::Identity asker, const std::string& body, PushRequest request,
                Lines& lines, const bool& has_left) {
  const std::uint64_t turn = cx.owners.deployments.begin();
  THAW_CO_TRY_VOID(for_tokens(cx, request.callers));
  const gateway::Identity who = gateway::for_making(asker);
  const catalog::Scope scope = gateway::scope_of(cx.owners.catalog, who);
  image::Recipe recipe = recipe_of(request, who);
  if (!request.image.empty()) {
    THAW_CO_TRY(const ImageFacts facts, co_await look_at_image(cx, who.workspace, request.image));
    THAW_CO_TRY(request, with_image(body, std::move(request), facts));
    recipe = facts.recipe;
  }
  if (request.model) {
    THAW_CO_TRY(request.name, function_for(cx, scope, *request.model));
  }
  THAW_CO_TRY_VOID(gateway::check_names(asker, request.name, request.name));
  THAW_CO_TRY(const model::Image image, co_await image_for(cx, who, std::move(recipe), lines));
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
  THAW_CO_TRY(const Published published,
              co_await publish(cx, who, std::move(request), image, std::move(card), turn));
  co_return co_await lines.write({{"function", json_of(cx, published)}});
}

}  // namespace

Task<void> serve_push(Context& cx, gateway::Identity who, net::HttpExchange& exchange) {
  THAW_CO_TRY(const std::string body, co_await exchange.read_all(most_request_bytes));
  THAW_CO_TRY(PushRequest request, read_push_request(body));
  if (request.schedule) {
    if (const Result<void> kept = gateway::check(*request.schedule, cx.owners.zones); !kept) {
      co_return Error::invalid_argument("schedule: " + kept.error().message());
    }
  }
  Lines lines(exchange);
  bool has_left = false;
  async::TaskGroup watches(cx.owners.loop);
  watches.start("push's caller", watch(exchange, has_left));
  Result<void> pushed =
      co_await push(cx, std::move(who), body, std::move(request), lines, has_left);
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
