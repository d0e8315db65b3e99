// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/workers_ai/file_value.h"

#include <cmath>
#include <utility>

#include "thaw/codec/data_url.h"
#include "thaw/codec/encoding.h"

namespace thaw::dialect::workers_ai {

using codec::Json;

namespace {

constexpr std::string_view unknown_type = "application/octet-stream";

// By how it begins: a model's libraries go by the ending of a file's name.
std::string_view type_of_bytes(std::string_view bytes) {
  struct Beginning {
    std::string_view bytes;
    std::string_view type;
  };
  static constexpr Beginning beginnings[] = {
      {"\x89PNG", "image/png"},   {"\xFF\xD8\xFF", "image/jpeg"}, {"GIF8", "image/gif"},
      {"fLaC", "audio/flac"},     {"OggS", "audio/ogg"},          {"ID3", "audio/mpeg"},
      {"\xFF\xFB", "audio/mpeg"}, {"%PDF", "application/pdf"},
  };
  for (const Beginning& one : beginnings) {
    if (bytes.starts_with(one.bytes)) {
      return one.type;
    }
  }
  const std::string_view inner = bytes.size() >= 12 ? bytes.substr(8, 4) : std::string_view();
  return !bytes.starts_with("RIFF") ? unknown_type
         : inner == "WAVE"          ? "audio/x-wav"
         : inner == "WEBP"          ? "image/webp"
                                    : unknown_type;
}

Result<std::string> bytes_of(const Json& list) {
  std::string bytes;
  bytes.reserve(list.size());
  for (const Json& one : list) {
    const double number = one.is_number() ? one.get<double>() : -1;
    if (!(number >= 0 && number <= 255) || std::floor(number) != number) {
      return Error::invalid_argument("a file is a list of bytes: whole numbers from 0 to 255");
    }
    bytes += static_cast<char>(static_cast<unsigned char>(number));
  }
  return bytes;
}

}  // namespace

std::string file_address(std::string_view bytes, std::string_view type) {
  std::string_view told = type.substr(0, type.find(';'));
  // Who makes a file of it knows this name for its ending.
  told = told == "audio/wav" ? "audio/x-wav" : told;
  return codec::write_data_url(told.empty() || told == unknown_type ? type_of_bytes(bytes) : told,
                               bytes);
}

Result<std::string> file_address(const Json& value) {
  if (value.is_array()) {
    THAW_TRY(const std::string bytes, bytes_of(value));
    return file_address(bytes, "");
  }
  if (!value.is_string()) {
    return Error::invalid_argument(
        "a file is a list of bytes, base64, or an address that begins with data: or https:");
  }
  const auto& text = value.get_ref<const std::string&>();
  if (text.starts_with("data:") || text.starts_with("http://") || text.starts_with("https://")) {
    return text;
  }
  const auto bytes = codec::base64_decode(text);
  if (!bytes) {
    return Error::invalid_argument("this file is neither base64 nor an address");
  }
  return file_address(*bytes, "");
}

}  // namespace thaw::dialect::workers_ai
