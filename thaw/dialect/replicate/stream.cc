// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/replicate/stream.h"

#include <openssl/crypto.h>

#include <charconv>
#include <utility>

#include "thaw/codec/encoding.h"
#include "thaw/codec/sse_reader.h"
#include "thaw/dialect/replicate/answers.h"
#include "thaw/dialect/replicate/calls.h"

namespace thaw::dialect::replicate {

using async::Task;
using codec::Json;

namespace {

constexpr Duration keep_alive_every = 15s;
constexpr std::size_t entries_at_once = 50;

// Behind which event a reader goes on: "ENTRY-ITEM".
struct Cursor {
  std::uint64_t entry = 0;
  std::size_t item = 0;  // of that entry, from 1; those up to it were seen
};

Cursor read_cursor(std::string_view text) {
  Cursor cursor;
  const char* end = text.data() + text.size();
  const auto [dash, wrong] = std::from_chars(text.data(), end, cursor.entry);
  if (wrong != std::errc() || dash == end || *dash != '-') {
    return {};
  }
  std::from_chars(dash + 1, end, cursor.item);
  return cursor;
}

std::string text_of(const Json& output) {
  return output.is_string() ? output.get<std::string>() : codec::dump_json(output);
}

// One reader's way through the log.
class Reader {
 public:
  Reader(Context& cx, net::HttpExchange& exchange, FoundPrediction found, Cursor from)
      : cx_(cx),
        exchange_(exchange),
        found_(std::move(found)),
        from_(from),
        fold_(found_.memo.gives_list) {}

  Task<void> run() {
    net::Headers headers;
    headers.add("content-type", "text/event-stream");
    headers.add("cache-control", "no-store");
    headers.add("x-accel-buffering", "no");
    THAW_CO_TRY_VOID(co_await exchange_.respond(200, std::move(headers)));
    std::uint64_t after = 0;
    while (!fold_.end()) {
      THAW_CO_TRY(const auto entries, co_await read_log(cx_, found_.info, after, entries_at_once,
                                                        monotonic_now() + keep_alive_every));
      if (entries.empty()) {
        THAW_CO_TRY(found_.info, co_await info_of(cx_, found_.info.call.id));
        if (found_.info.unfinished == 0) {
          break;  // what it told is not kept any more
        }
        THAW_CO_TRY_VOID(co_await exchange_.write(": keep-alive\n\n"));
        continue;
      }
      std::string text;
      for (const model::LogEntry& entry : entries) {
        after = entry.number;
        THAW_CO_TRY(const std::string told, co_await told_of(entry));
        text += told;
      }
      if (!text.empty()) {
        THAW_CO_TRY_VOID(co_await exchange_.write(std::move(text)));
      }
    }
    co_return co_await exchange_.finish();
  }

 private:
  // Of what comes behind the cursor.
  std::string event(std::uint64_t entry, std::size_t item, const char* name,
                    const std::string& data) const {
    const bool was_seen = entry < from_.entry || (entry == from_.entry && item <= from_.item);
    const std::string id = std::to_string(entry) + "-" + std::to_string(item);
    return was_seen ? std::string() : codec::write_sse(id, name, data);
  }

  Task<std::string> told_of(const model::LogEntry& entry) {
    std::string text;
    if (entry.kind == model::LogEntry::Kind::chunk) {
      std::size_t number = 0;
      for (const gateway::Item& item : gateway::read_items(entry.payload.bytes)) {
        const bool is_output = item.kind == gateway::Item::Kind::output;
        text += event(entry.number, ++number, is_output ? "output" : "logs",
                      is_output ? text_of(item.output) : item.logs);
      }
    }
    const std::size_t outputs_before = fold_.outputs;
    fold_.add(entry);
    if (entry.kind == model::LogEntry::Kind::final_) {
      THAW_CO_TRY(text, co_await told_of_end(entry, outputs_before));
    }
    co_return text;
  }

  // What of the output no piece has told, and how it has ended.
  Task<std::string> told_of_end(const model::LogEntry& entry, std::size_t told) {
    THAW_CO_TRY(found_.info, co_await info_of(cx_, found_.info.call.id));
    THAW_CO_TRY(Json view, co_await view_of(cx_, found_, fold_, base_of(cx_, exchange_.request())));
    const Json& output = view["output"];
    std::string text;
    std::size_t number = 0;
    if (found_.memo.gives_list && output.is_array()) {
      for (std::size_t i = told; i < output.size(); ++i) {
        text += event(entry.number, ++number, "output", text_of(output[i]));
      }
    } else if (told == 0 && !output.is_null()) {
      text += event(entry.number, ++number, "output", text_of(output));
    }
    const std::string status = view["status"].get<std::string>();
    Json done = Json::object();
    if (status == "failed") {
      done["reason"] = "error";
      text += event(entry.number, ++number, "error", text_of(view["error"]));
    } else if (status == "canceled") {
      done["reason"] = "canceled";
    }
    co_return text + event(entry.number, ++number, "done", codec::dump_json(done));
  }

  Context& cx_;
  net::HttpExchange& exchange_;
  FoundPrediction found_;
  Cursor from_;
  Fold fold_;
};

}  // namespace

Task<void> serve_stream(Context& cx, net::HttpExchange& exchange, std::string id) {
  const net::HttpRequest& request = exchange.request();
  const std::string given = codec::query_value(request.query(), "secret");
  const std::string secret = stream_secret(cx, id);
  const bool is_it = given.size() == secret.size() &&
                     CRYPTO_memcmp(given.data(), secret.data(), secret.size()) == 0;
  if (!is_it) {
    co_return Error::not_found(
        "no such stream; its whole address is urls.stream of its prediction");
  }
  THAW_CO_TRY(queue::CallInfo info, co_await info_of(cx, model::CallId(id)));
  auto memo = read_memo(info.call.options);
  if (!memo) {
    co_return Error::not_found("no such stream");
  }
  const Cursor from = read_cursor(request.headers.find("last-event-id").value_or(""));
  Reader reader(cx, exchange, {std::move(info), std::move(*memo)}, from);
  co_return co_await reader.run();
}

}  // namespace thaw::dialect::replicate
