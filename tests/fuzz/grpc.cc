// SPDX-License-Identifier: Apache-2.0
//
// The small wire forms of gRPC: messages cut from a stream of bytes, however these come, against a
// second cutter; deadlines against a second reader; a status message that is read again; binary
// metadata. The first byte says how the bytes come and how long a message may be.
#include <optional>
#include <vector>

#include "tests/fuzz/target.h"
#include "thaw/codec/encoding.h"
#include "thaw/net/detail/grpc_wire.h"

namespace thaw::fuzz {

namespace {

using namespace thaw::net::detail;

struct Cut {
  std::vector<std::string> messages;
  std::optional<Code> error;
};

// The whole of it at once, by the book.
Cut cut_whole(std::string_view bytes, std::size_t limit) {
  Cut cut;
  while (bytes.size() >= grpc_prefix_bytes) {
    std::size_t size = 0;
    for (std::size_t i = 1; i < grpc_prefix_bytes; ++i) {
      size = size << 8 | static_cast<std::uint8_t>(bytes[i]);
    }
    if (bytes[0] != 0 || size > limit) {
      cut.error = bytes[0] != 0 ? Code::unimplemented : Code::resource_exhausted;
      return cut;
    }
    if (bytes.size() - grpc_prefix_bytes < size) {
      return cut;
    }
    cut.messages.emplace_back(bytes.substr(grpc_prefix_bytes, size));
    bytes.remove_prefix(grpc_prefix_bytes + size);
  }
  return cut;
}

Cut cut_pieces(std::string_view bytes, std::size_t limit, std::size_t piece) {
  Cut cut;
  Inbox inbox;
  for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size()))) {
    inbox.append(bytes.substr(0, piece));
    while (true) {
      const auto size = inbox.message_size(limit);
      if (!size) {
        expect_sentence(size.error());
        cut.error = size.error().code();
        return cut;
      }
      if (!*size) {
        break;
      }
      if (inbox.size() < grpc_prefix_bytes + **size) {
        inbox.expect_message(**size);
        break;
      }
      cut.messages.push_back(inbox.take_message(**size));
    }
  }
  return cut;
}

void check_messages(std::string_view bytes, std::size_t limit, std::size_t piece) {
  const Cut whole = cut_whole(bytes, limit);
  const Cut pieces = cut_pieces(bytes, limit, piece);
  expect(whole.messages == pieces.messages && whole.error == pieces.error,
         "messages are the same however they come");
  std::string again;
  for (const std::string& message : whole.messages) {
    const auto prefix = grpc_prefix(message.size());
    again.append(prefix.begin(), prefix.end());
    again += message;
  }
  expect(bytes.starts_with(again), "what is written of messages is what they were read from");
  Inbox inbox;
  inbox.append(bytes);
  std::string taken;
  while (!inbox.empty()) {
    taken += inbox.take(piece);
  }
  expect(taken == bytes, "no byte is lost");
}

// "20m" in nanoseconds.
std::optional<double> timeout_ns(std::string_view text) {
  constexpr std::string_view units = "numSMH";
  constexpr double sizes[] = {1, 1e3, 1e6, 1e9, 60e9, 3600e9};
  if (text.size() < 2 || text.size() > 9 || units.find(text.back()) == std::string_view::npos ||
      text.find_first_not_of("0123456789") != text.size() - 1) {
    return std::nullopt;
  }
  return std::stod(std::string(text.substr(0, text.size() - 1))) * sizes[units.find(text.back())];
}

void check_timeout(std::string_view text) {
  const auto read = parse_grpc_timeout(text);
  const auto by_the_book = timeout_ns(text);
  expect(read.has_value() == by_the_book.has_value(), "a timeout is one by the book");
  if (read) {
    const auto ns = static_cast<double>(read->count());
    expect(*read >= Duration::zero() && (ns == *by_the_book || *by_the_book > 3.6e18),
           "a timeout is as long as it says, up to a century");
  }
}

void check_status_message(std::string_view text) {
  const std::string encoded = encode_grpc_message(text);
  for (const char c : encoded) {
    expect(c >= ' ' && c <= '~', "a status message is printable");
  }
  const std::string read = codec::percent_decode(encoded);
  expect(encoded.size() <= (16u << 10) && text.starts_with(read), "and is the text, perhaps cut");
  expect(encoded.size() + 3 > (16u << 10) || read.size() == text.size(), "which it is if too long");
}

}  // namespace

void run(std::string_view input) {
  Bytes bytes(input);
  const std::size_t piece = 1 + bytes.byte() % 31u;
  const std::size_t limit = std::size_t{1} << bytes.byte() % 16;
  check_messages(bytes.rest(), limit, piece);
  check_timeout(bytes.rest());
  check_status_message(bytes.rest());
  const std::string_view type = bytes.rest();
  expect(!is_grpc_content_type(type) || type.size() == 16 || type[16] == '+' || type[16] == ';',
         "no other content type is taken for gRPC");
}

}  // namespace thaw::fuzz
