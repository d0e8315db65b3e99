// SPDX-License-Identifier: Apache-2.0
//
// The small wire forms of gRPC over HTTP/2: the five-byte message prefix, grpc-timeout, and the
// percent-encoding of grpc-message. Pure functions over hostile input.
// Wire: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "thaw/base/result.h"
#include "thaw/base/time.h"

namespace thaw::net::detail {

constexpr std::size_t grpc_prefix_bytes = 5;

// An uncompressed message's prefix. `size` is below 4 GiB.
std::array<char, grpc_prefix_bytes> grpc_prefix(std::size_t size);

// "application/grpc", also with "+proto" or parameters; not "application/grpc-web".
bool is_grpc_content_type(std::string_view content_type);

// "100m" is 100 ms. nullopt if it is not one to eight digits and a unit of HMSmun.
std::optional<Duration> parse_grpc_timeout(std::string_view text);

// For grpc-message: bytes outside printable ASCII and '%' become %XX; cut so that the field stays
// within what clients accept.
std::string encode_grpc_message(std::string_view message);

// Bytes that have arrived on a stream and nobody has read yet, and how to cut messages from them.
class Inbox {
 public:
  void append(std::string_view bytes) { bytes_.append(bytes); }
  std::size_t size() const { return bytes_.size() - begin_; }
  bool empty() const { return size() == 0; }
  // The memory that it takes: what was read does not stay, also where it is never empty.
  std::size_t memory_bytes() const { return bytes_.capacity(); }

  // Up to `most` bytes.
  std::string take(std::size_t most);

  // Length of the message at the front; nullopt while its prefix has not arrived. unimplemented if
  // the message is compressed, resource_exhausted if it is longer than `limit`.
  Result<std::optional<std::size_t>> message_size(std::size_t limit) const;
  // Cuts the message at the front, which must be there whole.
  std::string take_message(std::size_t size);
  // Makes room for the rest of a message of `size` bytes that is arriving.
  void expect_message(std::size_t size);

 private:
  void drop(std::size_t count);

  std::string bytes_;
  std::size_t begin_ = 0;
};

}  // namespace thaw::net::detail
