// SPDX-License-Identifier: Apache-2.0
//
// A prediction is a view of a call: what was said when it was made stands in the call's options
// (Memo), what has become of it in its log (Fold). Here is what both are written as, and what they
// are together as JSON. Pure; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/codec/json.h"
#include "thaw/model/call.h"
#include "thaw/queue/call_queue.h"

namespace thaw::dialect::replicate {

// Of a call's input and of its result; and of the pieces in its log: a JSON value in each line,
// {"o": a piece of output} or {"l": "what was printed"}.
inline constexpr const char* prediction_type = "application/x-prediction+json";
// Of an input whose model gives its output as a whole: it is asked for no stream.
inline constexpr const char* whole_prediction_type = "application/x-whole-prediction+json";
inline constexpr const char* pieces_type = "application/x-prediction-pieces";

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

// A file of an output that is kept beside it; where it belongs stands its place.
struct OutputFile {
  std::string sha256_hex;
  std::uint64_t size = 0;
  std::string content_type;
};

// What a server has told at the end; a call's result.
struct Ending {
  std::string status;  // succeeded, failed, canceled
  codec::Json output;
  std::string logs;
  codec::Json error;
  codec::Json metrics = codec::Json::object();
  std::map<std::string, OutputFile> files;  // by their JSON pointers below `output`
};
std::string write_ending(const Ending& ending);

// One thing in a piece.
struct Item {
  enum class Kind { output, logs } kind = Kind::output;
  codec::Json output;
  std::string logs;
};
std::string write_item(const Item& item);
// What cannot be read is left out.
std::vector<Item> read_items(std::string_view bytes);

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
  std::map<std::string, OutputFile> files;
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
