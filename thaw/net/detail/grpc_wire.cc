// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/grpc_wire.h"

#include <algorithm>
#include <cstdint>

#include "thaw/base/check.h"

namespace thaw::net::detail {

namespace {

// Python's h2 accepts 64 KiB of headers in all; the rest of a trailer is small.
constexpr std::size_t longest_encoded_message = 16u << 10;
// What was read stays in front of what was not until it is as much, and worth the move.
constexpr std::size_t least_moved = 64u << 10;

}  // namespace

std::array<char, grpc_prefix_bytes> grpc_prefix(std::size_t size) {
  return {0, static_cast<char>(size >> 24), static_cast<char>(size >> 16),
          static_cast<char>(size >> 8), static_cast<char>(size)};
}

bool is_grpc_content_type(std::string_view content_type) {
  constexpr std::string_view name = "application/grpc";
  if (!content_type.starts_with(name)) {
    return false;
  }
  content_type.remove_prefix(name.size());
  return content_type.empty() || content_type[0] == '+' || content_type[0] == ';';
}

std::optional<Duration> parse_grpc_timeout(std::string_view text) {
  if (text.size() < 2 || text.size() > 9) {
    return std::nullopt;
  }
  std::int64_t amount = 0;
  for (const char c : text.substr(0, text.size() - 1)) {
    if (c < '0' || c > '9') {
      return std::nullopt;
    }
    amount = amount * 10 + (c - '0');
  }
  switch (text.back()) {
    case 'H':
      // 99,999,999 hours would overflow nanoseconds; nobody can tell the difference.
      return std::min<std::int64_t>(amount, 1'000'000) * std::chrono::hours(1);
    case 'M': return amount * std::chrono::minutes(1);
    case 'S': return amount * std::chrono::seconds(1);
    case 'm': return amount * std::chrono::milliseconds(1);
    case 'u': return amount * std::chrono::microseconds(1);
    case 'n': return amount * std::chrono::nanoseconds(1);
    default: return std::nullopt;
  }
}

std::string encode_grpc_message(std::string_view message) {
  constexpr char digits[] = "0123456789ABCDEF";
  std::string encoded;
  encoded.reserve(message.size());
  for (const char c : message) {
    if (encoded.size() + 3 > longest_encoded_message) {
      break;
    }
    if (c >= ' ' && c <= '~' && c != '%') {
      encoded.push_back(c);
    } else {
      const auto byte = static_cast<unsigned char>(c);
      encoded.append({'%', digits[byte >> 4], digits[byte & 15]});
    }
  }
  return encoded;
}

std::string Inbox::take(std::size_t most) {
  if (begin_ == 0 && bytes_.size() <= most) {
    return std::exchange(bytes_, {});
  }
  std::string piece = bytes_.substr(begin_, most);
  drop(piece.size());
  return piece;
}

void Inbox::drop(std::size_t count) {
  begin_ += count;
  if (begin_ == bytes_.size()) {
    bytes_.clear();
    begin_ = 0;
  } else if (begin_ >= std::max(least_moved, size())) {
    // Whoever reads more slowly than the peer sends never finds it empty.
    bytes_.erase(0, begin_);
    begin_ = 0;
  }
}

Result<std::optional<std::size_t>> Inbox::message_size(std::size_t limit) const {
  if (size() < grpc_prefix_bytes) {
    return std::optional<std::size_t>();
  }
  const auto* prefix = reinterpret_cast<const unsigned char*>(bytes_.data() + begin_);
  if (prefix[0] != 0) {
    return Error::unimplemented(
        "the message is compressed, which is not supported; send with grpc-encoding identity");
  }
  const std::size_t length = (std::size_t{prefix[1]} << 24) | (std::size_t{prefix[2]} << 16) |
                             (std::size_t{prefix[3]} << 8) | std::size_t{prefix[4]};
  if (length > limit) {
    return Error::resource_exhausted("the message has " + std::to_string(length) +
                                     " bytes; at most " + std::to_string(limit) + " are accepted");
  }
  return std::optional<std::size_t>(length);
}

std::string Inbox::take_message(std::size_t message_bytes) {
  const std::size_t whole = grpc_prefix_bytes + message_bytes;
  THAW_CHECK(size() >= whole);
  const std::size_t rest = size() - whole;
  if (rest == 0 && begin_ == 0) {
    std::string message = std::exchange(bytes_, {});
    message.erase(0, grpc_prefix_bytes);
    return message;
  }
  if (message_bytes < (64u << 10) || rest > message_bytes) {
    std::string message = bytes_.substr(begin_ + grpc_prefix_bytes, message_bytes);
    drop(whole);
    return message;
  }
  // A large message keeps its buffer; what follows it is copied instead.
  std::string following = bytes_.substr(begin_ + whole);
  std::string message = std::exchange(bytes_, std::move(following));
  message.resize(begin_ + whole);
  message.erase(0, begin_ + grpc_prefix_bytes);
  begin_ = 0;
  return message;
}

void Inbox::expect_message(std::size_t message_bytes) {
  if (begin_ > 0) {
    bytes_.erase(0, begin_);
    begin_ = 0;
  }
  bytes_.reserve(grpc_prefix_bytes + message_bytes);
}

}  // namespace thaw::net::detail
