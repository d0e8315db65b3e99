// SPDX-License-Identifier: Apache-2.0
//
// What a request to run a model says: JSON, the parts of a form, or the bytes of a file with the
// rest in its query. Pure; any thread.
#pragma once

#include <string>
#include <string_view>

#include "thaw/codec/json.h"

namespace thaw::dialect::workers_ai {

constexpr std::size_t most_body_bytes = 100u << 20;

struct RunRequest {
  codec::Json inputs = codec::Json::object();
  bool streams = false;
  bool wants_json = false;  // what is told is JSON itself
};

// `more`: inputs that were said beside the body. invalid_argument says what is wrong with it.
Result<RunRequest> read_run_request(std::string_view body, std::string_view content_type,
                                    codec::Json more);
// Of inputs that are read already.
Result<RunRequest> run_request_of(codec::Json inputs);

}  // namespace thaw::dialect::workers_ai
