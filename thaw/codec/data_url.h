// SPDX-License-Identifier: Apache-2.0
//
// Data URLs (RFC 2397), in which files come in inputs and outputs. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace thaw::codec {

struct DataUrl {
  std::string content_type;
  std::string bytes;
};

// nullopt: it is none, or what it says to be base64 is not.
std::optional<DataUrl> read_data_url(std::string_view text);
std::string write_data_url(std::string_view content_type, std::string_view bytes);

// The usual ending of files of a type, with its dot; "": none is known.
std::string_view ending_of(std::string_view content_type);
// The other way round; "application/octet-stream" if nothing is known.
std::string_view type_of(std::string_view file_name);

}  // namespace thaw::codec
