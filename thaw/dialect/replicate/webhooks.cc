// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/replicate/webhooks.h"

#include <algorithm>
#include <utility>

#include "thaw/codec/fields.h"
#include "thaw/dialect/replicate/calls.h"
#include "thaw/gateway/sink_rules.h"

namespace thaw::dialect::replicate {

using async::Task;
using codec::Json;

namespace {

constexpr auto between_pieces = std::chrono::milliseconds(500);
constexpr std::size_t most_noted = 10'000;

struct Asked {
  WebhookEvents events;
  std::string base;
};

Result<Asked> read_asked(const std::string& options) {
  THAW_TRY(const Json json, codec::parse_json(options));
  Asked asked;
  codec::Fields fields(json);
  fields.read("base", asked.base);
  THAW_TRY(asked.events, read_events(fields.items("events")));
  THAW_TRY_VOID(fields.outcome());
  return asked;
}

gateway::CallbackRendering nothing() {
  return [] {
    return Result<std::optional<gateway::RenderedCallback>>(
        std::optional<gateway::RenderedCallback>());
  };
}

gateway::CallbackRendering never(Error error) {
  return [error = std::move(error)] {
    return Result<std::optional<gateway::RenderedCallback>>(error);
  };
}

// Whether there is something in it that is to be told of.
bool has_wanted(const model::LogEntry& entry, const WebhookEvents& events) {
  const std::vector<gateway::Item> items = gateway::read_items(entry.payload.bytes);
  return std::any_of(items.begin(), items.end(), [&](const gateway::Item& item) {
    return item.kind == gateway::Item::Kind::output ? events.output : events.logs;
  });
}

}  // namespace

Result<model::Callback> callback_of(const std::string& url, const WebhookEvents& events,
                                    const gateway::SinkRules& rules, const std::string& base) {
  const auto parsed = net::parse_web_url(url);
  if (!parsed) {
    return Error::invalid_argument("webhook: " + parsed.error().message());
  }
  if (const auto address = net::IpAddress::parse(parsed->host)) {
    if (const auto judged = rules.judge(*parsed, *address); !judged) {
      return Error::invalid_argument("webhook: " + judged.error().message());
    }
  }
  model::Callback callback;
  callback.sink = url;
  callback.receiver = parsed->origin();
  callback.wants.started = events.start;
  callback.wants.output = events.output || events.logs;
  callback.wants.final_ = events.completed;
  callback.dialect = dialect_name;
  callback.options = codec::dump_json({{"events", words_of(events)}, {"base", base}});
  return callback;
}

bool Webhooks::is_its_time(const model::CallId& call, const model::LogEntry& entry) {
  if (entry.kind != model::LogEntry::Kind::chunk) {
    return true;
  }
  const auto known = last_told_.find(call);
  return known == last_told_.end() || entry.at - known->second >= between_pieces;
}

Task<gateway::CallbackRendering> Webhooks::prepare(queue::DueCallback callback,
                                                   queue::CallbackTurn turn) {
  const auto asked = read_asked(callback.options);
  if (!asked) {
    co_return never(asked.error());
  }
  const model::LogEntry& entry = *turn.entry;
  const bool is_piece = entry.kind == model::LogEntry::Kind::chunk;
  if (!is_its_time(turn.call, entry) || (is_piece && !has_wanted(entry, asked->events))) {
    co_return nothing();
  }
  THAW_CO_TRY(queue::CallInfo info, co_await info_of(cx_, turn.call));
  auto memo = read_memo(info.call.options);
  if (!memo) {
    co_return never(Error::data_loss("what was said of the prediction cannot be read"));
  }
  FoundPrediction found{std::move(info), std::move(*memo)};
  THAW_CO_TRY(const std::shared_ptr<const Fold> fold, co_await fold_of(cx_, found, entry.number));
  THAW_CO_TRY(Json view, co_await view_of(cx_, found, *fold, asked->base));
  if (entry.kind == model::LogEntry::Kind::final_) {
    last_told_.erase(turn.call);
  } else if (is_piece) {
    if (last_told_.size() >= most_noted) {
      last_told_.clear();
    }
    last_told_[turn.call] = entry.at;
  }
  co_return [view = std::move(view)] {
    gateway::RenderedCallback out;
    out.content_type = "application/json";
    out.body = codec::dump_json(view);
    return Result<std::optional<gateway::RenderedCallback>>(std::optional(std::move(out)));
  };
}

gateway::CallbackRendering Webhooks::render(queue::DueCallback /*callback*/,
                                            queue::CallbackTurn /*turn*/) {
  return never(Error::internal("a prediction is told of by what is prepared"));
}

Result<gateway::CallbackCall> Webhooks::call_for(const model::WorkspaceId& /*workspace*/,
                                                 const std::string& /*function*/,
                                                 gateway::RenderedCallback /*rendered*/) {
  return Error::unimplemented("a prediction's webhook is an address, and no function");
}

}  // namespace thaw::dialect::replicate
