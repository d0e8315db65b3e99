// SPDX-License-Identifier: Apache-2.0
#include "thaw/codec/data_url.h"

#include <utility>

#include "thaw/codec/encoding.h"

namespace thaw::codec {

namespace {

constexpr std::string_view octets = "application/octet-stream";

constexpr std::pair<std::string_view, std::string_view> types[] = {
    {".txt", "text/plain"},        {".json", "application/json"}, {".png", "image/png"},
    {".jpg", "image/jpeg"},        {".jpeg", "image/jpeg"},       {".gif", "image/gif"},
    {".webp", "image/webp"},       {".svg", "image/svg+xml"},     {".mp3", "audio/mpeg"},
    {".wav", "audio/x-wav"},       {".wav", "audio/wav"},         {".ogg", "audio/ogg"},
    {".flac", "audio/flac"},       {".mp4", "video/mp4"},         {".webm", "video/webm"},
    {".pdf", "application/pdf"},   {".zip", "application/zip"},   {".csv", "text/csv"},
    {".html", "text/html"},        {".gz", "application/gzip"},   {".tar", "application/x-tar"},
    {".glb", "model/gltf-binary"}, {".md", "text/markdown"},
};

}  // namespace

std::optional<DataUrl> read_data_url(std::string_view text) {
  constexpr std::string_view scheme = "data:";
  constexpr std::string_view in_base64 = ";base64";
  const std::size_t comma = text.substr(0, 1'000).find(',');
  if (!text.starts_with(scheme) || comma == std::string_view::npos) {
    return std::nullopt;
  }
  std::string_view head = text.substr(scheme.size(), comma - scheme.size());
  const std::string_view body = text.substr(comma + 1);
  DataUrl url;
  if (head.ends_with(in_base64)) {
    head.remove_suffix(in_base64.size());
    auto bytes = codec::base64_decode(body);
    if (!bytes) {
      return std::nullopt;
    }
    url.bytes = std::move(*bytes);
  } else {
    url.bytes = codec::percent_decode(body);
  }
  const bool is_plain = head.find_first_not_of(
                            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                            "/+-._;= ") == std::string_view::npos;
  url.content_type = head.empty() || !is_plain ? octets : head;
  return url;
}

std::string write_data_url(std::string_view content_type, std::string_view bytes) {
  return "data:" + std::string(content_type) + ";base64," + codec::base64_encode(bytes);
}

std::string_view ending_of(std::string_view content_type) {
  const std::string_view type = content_type.substr(0, content_type.find(';'));
  for (const auto& [ending, of] : types) {
    if (of == type) {
      return ending;
    }
  }
  return {};
}

std::string_view type_of(std::string_view file_name) {
  for (const auto& [ending, type] : types) {
    if (file_name.ends_with(ending)) {
      return type;
    }
  }
  return octets;
}

}  // namespace thaw::codec
