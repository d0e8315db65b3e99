// SPDX-License-Identifier: Apache-2.0
#include "thaw/logs/line_splitter.h"

#include <utility>

#include "thaw/logs/utf8.h"

namespace thaw::logs {

namespace {

// How many bytes at the end of `text` begin a character that is not finished.
std::size_t torn_bytes(std::string_view text) {
  for (std::size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if (byte < 0x80) {
      return 0;
    }
    if (byte >= 0xc0) {
      const std::size_t size = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
      return size > back ? back : 0;
    }
  }
  return 0;
}

}  // namespace

std::vector<std::string> LineSplitter::feed(std::string_view bytes) {
  std::vector<std::string> lines;
  while (!bytes.empty()) {
    const std::size_t newline = bytes.find('\n');
    const std::size_t size = newline == std::string_view::npos ? bytes.size() : newline + 1;
    held_.append(bytes.substr(0, size));
    bytes.remove_prefix(size);
    while (held_.size() > line_bytes_) {
      const std::size_t cut = cut_utf8(held_, line_bytes_);
      lines.push_back(held_.substr(0, cut));
      held_.erase(0, cut);
    }
    if (newline != std::string_view::npos) {
      lines.push_back(std::exchange(held_, {}));
    }
  }
  return lines;
}

std::string LineSplitter::rest() {
  std::string all = std::exchange(held_, {});
  const std::size_t torn = torn_bytes(all);
  held_ = all.substr(all.size() - torn);
  all.resize(all.size() - torn);
  return all;
}

std::string LineSplitter::end() { return std::exchange(held_, {}); }

}  // namespace thaw::logs
