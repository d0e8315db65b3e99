// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/native/callbacks.h"

#include <charconv>

#include "thaw/codec/encoding.h"
#include "thaw/codec/http_message.h"
#include "thaw/codec/utf8.h"
#include "thaw/gateway/callback_sender.h"

namespace thaw::dialect::native {

using codec::Json;

namespace {

// Of a result or a piece of output; a larger one is a link.
constexpr std::size_t most_told_bytes = 256u << 10;

Result<model::CallbackWants> read_wants(std::string_view text) {
  model::CallbackWants wants{.started = false, .output = false, .final_ = false};
  while (true) {
    const std::size_t comma = text.find(',');
    std::string_view word = text.substr(0, comma);
    const std::size_t first = std::min(word.find_first_not_of(' '), word.size());
    word = word.substr(first, word.find_last_not_of(' ') + 1 - first);
    bool* const wanted = word == "started"  ? &wants.started
                         : word == "output" ? &wants.output
                         : word == "final"  ? &wants.final_
                                            : nullptr;
    if (wanted == nullptr) {
      return Error::invalid_argument(
          "thaw-callback-on: takes started, output and final, with "
          "commas between, not '" +
          std::string(word.substr(0, 50)) + "'");
    }
    *wanted = true;
    if (comma == std::string_view::npos) {
      return wants;
    }
    text.remove_prefix(comma + 1);
  }
}

Result<Duration> read_seconds(std::string_view text) {
  std::int64_t seconds = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, seconds);
  if (error != std::errc() || rest != end || seconds < 1 || seconds > 7 * 86'400) {
    return Error::invalid_argument("thaw-callback-for: takes 1 to 604800 seconds, not '" +
                                   std::string(text.substr(0, 50)) + "'");
  }
  return std::chrono::seconds(seconds);
}

Result<std::string> receiver_of(const std::string& sink, const gateway::SinkRules& rules) {
  if (sink.starts_with(model::function_sink)) {
    if (sink.size() == model::function_sink.size() || sink.size() > 100) {
      return Error::invalid_argument("thaw-callback: 'function:NAME' names a function");
    }
    return sink;
  }
  THAW_TRY(const net::WebUrl url, net::parse_web_url(sink));
  if (const auto address = net::IpAddress::parse(url.host)) {
    THAW_TRY_VOID(rules.judge(url, *address));
  }
  return url.origin();
}

std::vector<std::string> words_of(const model::CallbackWants& wants) {
  std::vector<std::string> words;
  for (const auto& [wanted, word] :
       {std::pair(wants.started, "started"), std::pair(wants.output, "output"),
        std::pair(wants.final_, "final")}) {
    if (wanted) {
      words.emplace_back(word);
    }
  }
  return words;
}

// A value that is nested deeper costs whoever writes or reads it a stack frame for each level.
bool is_shallow(std::string_view json) {
  constexpr int deepest = 100;
  int depth = 0;
  bool is_in_string = false;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (is_in_string) {
      i += c == '\\' ? 1 : 0;
      is_in_string = c != '"';
    } else if (c == '"') {
      is_in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > deepest) {
        return false;
      }
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return true;
}

// Its type says how: JSON as it is, text as text, all else in base64.
void put_body(Json& out, const std::string& content_type, const std::string& body) {
  out["content_type"] = content_type;
  const std::string type = content_type.substr(0, content_type.find(';'));
  const bool is_json = type == "application/json" || type.ends_with("+json");
  if (is_json && is_shallow(body)) {
    if (auto json = codec::parse_json(body)) {
      out["json"] = std::move(*json);
      return;
    }
  }
  if ((is_json || type.starts_with("text/")) && codec::valid_utf8(body) == body) {
    out["text"] = body;
  } else {
    out["base64"] = codec::base64_encode(body);
  }
}

Json link_to(std::uint64_t bytes, const std::string& result_url) {
  return {{"bytes", bytes}, {"url", result_url}};
}

Json result_of(const queue::CallbackTurn& turn, const std::string& result_url) {
  const model::Payload& payload = turn.entry->payload;
  Json out;
  if (payload.content_type != codec::http_content_type) {
    if (turn.left_out > 0 || payload.size() > most_told_bytes || !payload.encoding.empty()) {
      return link_to(std::max<std::uint64_t>(turn.left_out, payload.bytes.size()), result_url);
    }
    put_body(out, payload.content_type, payload.bytes);
    return out;
  }
  // Of one that is not here as a whole the head may be.
  auto answer = codec::read_http_response(payload.bytes);
  if (!answer) {
    return link_to(std::max<std::uint64_t>(turn.left_out, payload.bytes.size()), result_url);
  }
  std::string type;
  for (const auto& [name, value] : answer->headers) {
    type = name == "content-type" ? value : type;
  }
  if (turn.left_out > 0 || answer->body.size() > most_told_bytes) {
    out = link_to(turn.left_out + answer->body.size(), result_url);
    out["content_type"] = codec::valid_utf8(type);
  } else {
    put_body(out, codec::valid_utf8(type), answer->body);
  }
  out["status"] = answer->status;
  return out;
}

}  // namespace

Result<std::vector<model::Callback>> read_callbacks(const net::Headers& headers,
                                                    const gateway::SinkRules& rules) {
  model::Callback common;
  common.dialect = dialect_name;
  if (const auto on = headers.find("thaw-callback-on")) {
    THAW_TRY(common.wants, read_wants(*on));
  }
  if (const auto seconds = headers.find("thaw-callback-for")) {
    THAW_TRY(common.try_for, read_seconds(*seconds));
  }
  std::vector<model::Callback> callbacks;
  for (const auto& [name, value] : headers.fields) {
    if (name == "thaw-callback") {
      model::Callback& one = callbacks.emplace_back(common);
      one.sink = value;
      THAW_TRY(one.receiver, receiver_of(value, rules));
    }
  }
  const bool has_rest = headers.find("thaw-callback-on") || headers.find("thaw-callback-for");
  if (callbacks.empty() && has_rest) {
    return Error::invalid_argument(
        "thaw-callback-on and -for say something of a thaw-callback: ADDRESS, and there is none");
  }
  return callbacks;
}

std::string callbacks_text(const std::vector<model::Callback>& callbacks) {
  std::string text;
  for (const model::Callback& one : callbacks) {
    text += '\0' + one.sink + '\0' + std::to_string(one.try_for.count());
    for (const std::string& word : words_of(one.wants)) {
      text += '\0' + word;
    }
  }
  return text;
}

Json json_of(const queue::CallbackView& view) {
  const char* state = view.state == queue::CallbackState::pending     ? "pending"
                      : view.state == queue::CallbackState::delivered ? "delivered"
                                                                      : "gave_up";
  Json out = {{"address", view.sink},
              {"on", words_of(view.wants)},
              {"state", state},
              {"told", view.told},
              {"tries", view.tries}};
  if (!view.why.empty()) {
    out["why"] = codec::valid_utf8(view.why);
  }
  if (view.state == queue::CallbackState::pending && view.next_try) {
    out["next_try_at"] = to_seconds(*view.next_try);
  }
  if (view.state == queue::CallbackState::pending && view.until) {
    out["gives_up_at"] = to_seconds(*view.until);
  }
  return out;
}

Json json_of(const queue::CallbackTurn& turn, const std::string& function,
             const std::string& result_url) {
  const model::LogEntry& entry = *turn.entry;
  Json data = {{"call", turn.call},          {"function", function},
               {"number", entry.number},     {"index", entry.index},
               {"attempts", entry.attempts}, {"created_at", to_seconds(turn.created_at)}};
  if (turn.started_at) {
    data["started_at"] = to_seconds(*turn.started_at);
  }
  if (turn.finished_at) {
    data["finished_at"] = to_seconds(*turn.finished_at);
  }
  if (const std::string& version = entry.version.empty() ? entry.status.version : entry.version;
      !version.empty()) {
    data["version"] = version;
  }
  std::string type = "call.started";
  if (entry.kind == model::LogEntry::Kind::chunk) {
    type = "call.output";
    data["output"] = result_of(turn, result_url);
  } else if (entry.kind == model::LogEntry::Kind::final_) {
    type = "call.final";
    data["outcome"] = model::outcome_name(entry.outcome);
    if (entry.failure) {
      data["error"] = codec::valid_utf8(entry.failure->message);
    }
    if (!entry.payload.empty() || turn.left_out > 0) {
      data["result"] = result_of(turn, result_url);
    }
  }
  return {{"type", type}, {"timestamp", to_seconds(entry.at)}, {"data", std::move(data)}};
}

gateway::CallbackRendering NativeCallbacks::render(queue::DueCallback /*callback*/,
                                                   queue::CallbackTurn turn) {
  // all workspaces: the call's own
  const auto function = cx_.owners.catalog.functions.find(turn.function.str());
  std::string name = function ? function->tag : turn.function.str();
  std::string url = cx_.place.base() + "/api/v1/calls/" + turn.call.str() + "/result";
  return [turn = std::move(turn), name = std::move(name), url = std::move(url)] {
    gateway::RenderedCallback out;
    out.content_type = "application/json";
    out.body = codec::dump_json(json_of(turn, name, url)) + "\n";
    return Result<std::optional<gateway::RenderedCallback>>(std::optional(std::move(out)));
  };
}

Result<gateway::CallbackCall> NativeCallbacks::call_for(const model::WorkspaceId& workspace,
                                                        const std::string& function,
                                                        gateway::RenderedCallback rendered) {
  const catalog::Scope scope(cx_.owners.catalog, workspace);
  const std::size_t at = std::min(function.find('@'), function.size());
  THAW_TRY(const Published published, find_published(cx_, scope, function.substr(0, at)));
  const std::string asked = at < function.size() ? function.substr(at + 1) : "";
  THAW_TRY(const gateway::Route route, find_route(cx_, scope, published, asked));
  codec::HttpRequestMessage request;
  request.method = "POST";
  request.target = route.spec->push ? route.spec->push->target : "/";
  request.headers = std::move(rendered.headers);
  request.headers.emplace_back("content-type", rendered.content_type);
  request.body = std::move(rendered.body);
  THAW_TRY(std::string bytes, codec::write_http(request));
  gateway::CallbackCall out;
  out.call = gateway::Invoke::new_call(route);
  out.call.durability = model::Durability::durable;
  out.inputs.push_back({0, {std::move(bytes), std::string(codec::http_content_type)}});
  return out;
}

async::Task<void> serve_callback_secret(Context& cx, gateway::Identity who,
                                        net::HttpExchange& exchange) {
  const Json out = {{"secret", gateway::callback_secret(cx.owners.secrets, who.workspace)}};
  co_return co_await exchange.answer(200, "application/json", codec::dump_json(out) + "\n");
}

}  // namespace thaw::dialect::native
