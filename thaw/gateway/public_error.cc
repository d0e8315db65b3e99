// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/public_error.h"

#include <utility>

#include "thaw/base/log.h"

namespace thaw::gateway {

namespace {

constexpr std::string_view end_of_path = " \t\n\"',;:()[]<>";
constexpr std::string_view instead = "a file of the server";

}  // namespace

std::string without_paths(std::string_view text, const std::vector<std::string>& folders) {
  std::string out;
  while (!text.empty()) {
    std::size_t first = std::string_view::npos;
    std::size_t length = 0;
    for (const std::string& folder : folders) {
      const std::size_t at = folder.empty() ? std::string_view::npos : text.find(folder);
      if (at < first) {
        first = at;
        length = folder.size();
      }
    }
    if (first == std::string_view::npos) {
      break;
    }
    out += text.substr(0, first);
    out += instead;
    const std::size_t end = text.find_first_of(end_of_path, first + length);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end);
  }
  return out.append(text);
}

PublicErrors::PublicErrors(std::vector<std::string> folders) : folders_(std::move(folders)) {}

std::string PublicErrors::told(const Error& error) {
  std::string text = without_paths(error.message(), folders_);
  const bool ours =
      error.code() == Code::internal || error.code() == Code::data_loss || text != error.message();
  // A client that fails all day does not fill the log.
  if (const Instant now = monotonic_now(); ours && last_logged_ + 1s <= now) {
    last_logged_ = now;
    log_warning("a client was told of an error", {{"error", error.to_string()}});
  }
  return text;
}

}  // namespace thaw::gateway
