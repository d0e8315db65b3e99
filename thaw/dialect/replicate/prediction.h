// SPDX-License-Identifier: Apache-2.0
//
// A prediction is a view of a call: what was said when it was made stands in the call's options
// (Memo), what has become of it in its log (Fold, of gateway/prediction_log.h). Here is what the
// memo is written as, and what they are together as JSON. Pure; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/codec/json.h"
#include "thaw/gateway/prediction_log.h"
#include "thaw/model/call.h"
#include "thaw/queue/call_queue.h"

namespace thaw::dialect::replicate {

// What a prediction is known by beside its call.
struct Memo {
  std::string id;       // its caller's own, if he gave one; empty: the call's
  std::string model;    // "owner/name"
  std::string version;  // 64 digits of hex
  std::string deployment;
  codec::Json input;  // as its caller wrote it
  bool gives_list = false;
  bool streams = false;
  std::string webhook;
  std::optional<WallTime> cancel_after;
};
std::string write_memo(const Memo& memo);
// nullopt: the call is no prediction.
std::optional<Memo> read_memo(std::string_view options);

// Takes the entries of a log, in their order.
class Fold {
 public:
  explicit Fold(bool gives_list) : gives_list_(gives_list) {}
  // The payload of `entry` is whole.
  void add(const model::LogEntry& entry);
  // In the words of clients; a prediction that has ended is not told of by `info` alone.
  std::string status(const queue::CallInfo& info, const Memo& memo) const;

  // While it has not ended; then the ending's.
  codec::Json output;
  std::string logs;
  codec::Json error;
  codec::Json metrics = codec::Json::object();
  std::map<std::string, gateway::OutputFile> files;
  std::size_t outputs = 0;  // pieces of output so far
  const model::LogEntry* end() const { return end_ ? &*end_ : nullptr; }
  bool is_removed() const { return is_removed_; }

 private:
  void add_end(const model::LogEntry& entry);

  bool gives_list_;
  int attempt_ = 0;                     // that the pieces so far are of
  std::optional<model::LogEntry> end_;  // without its payload
  std::string ended_as_;                // as its server has told
  bool is_removed_ = false;
};

// "2026-12-01T10:00:00.123456Z"
std::string time_text(WallTime at);

// Where clients find things: "http://127.0.0.1:8700/replicate/v1".
struct Place {
  std::string base;
  std::string stream_url;  // of this prediction; empty: it has none
};
codec::Json json_of(const queue::CallInfo& info, const Memo& memo, const Fold& fold,
                    const Place& place);

}  // namespace thaw::dialect::replicate
