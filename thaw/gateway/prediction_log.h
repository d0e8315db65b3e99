// SPDX-License-Identifier: Apache-2.0
//
// What a call of a model with a card says in its log, whichever dialect made it: pieces of its
// output and of what it printed, and how it has ended. Who speaks with the model's server writes
// it (control/talk.h, by the content type of the input); every dialect reads it. Pure; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/codec/json.h"

namespace thaw::gateway {

// Of a call's input and of its result; and of the pieces in its log: a JSON value in each line,
// {"o": a piece of output} or {"l": "what was printed"}.
inline constexpr const char* prediction_type = "application/x-prediction+json";
// Of an input whose model gives its output as a whole: it is asked for no stream.
inline constexpr const char* whole_prediction_type = "application/x-whole-prediction+json";
inline constexpr const char* pieces_type = "application/x-prediction-pieces";

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
// invalid_argument, data_loss: it is none.
Result<Ending> read_ending(std::string_view bytes);

// One thing in a piece.
struct Item {
  enum class Kind { output, logs } kind = Kind::output;
  codec::Json output;
  std::string logs;
};
std::string write_item(const Item& item);
// What cannot be read is left out.
std::vector<Item> read_items(std::string_view bytes);

}  // namespace thaw::gateway
