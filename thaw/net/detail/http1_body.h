// SPDX-License-Identifier: Apache-2.0
//
// Reading one message from a Stream with an Http1Parser, for the server and for the client.
#pragma once

#include "thaw/net/detail/http1_parser.h"
#include "thaw/net/detail/stream.h"

namespace thaw::net::detail {

// The most that one piece of a body has, and the input that a connection holds beyond heads.
constexpr std::size_t piece_bytes = 64u << 10;

// Next piece of the body; nullopt at its end. unavailable if the peer breaks off before; the parser
// lives as long as the stream's owner.
async::Task<std::optional<std::string>> read_body(std::shared_ptr<Stream> stream,
                                                  Http1Parser& parser);

// Appends to `piece` what is buffered of the body, for a slice of time at most; true if it can go
// on with what is there.
Result<bool> decode_buffered(Stream& stream, Http1Parser& parser, std::string& piece);
}  // namespace thaw::net::detail
