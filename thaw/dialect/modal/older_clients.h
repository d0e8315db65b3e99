// SPDX-License-Identifier: Apache-2.0
//
// What clients of before 1.0 say in words that later ones do not have: fields that left the
// protocol, kinds of GPU by number. It is put into today's words where it comes in, so that the
// rest of the dialect knows one way of saying it; what such a client must hear is added on the way
// out. Pure.
#pragma once

#include <google/protobuf/message.h>

#include <compare>
#include <optional>
#include <string>
#include <string_view>

#include "thaw/dialect/modal/proto/functions.pb.h"

namespace thaw::dialect::modal {

struct ClientVersion {
  int major = 0;
  int minor = 0;
  int patch = 0;
  auto operator<=>(const ClientVersion&) const = default;
};

// The three numbers that "0.64.235" or "1.6.4.dev3" begins with; nullopt if it does not.
std::optional<ClientVersion> parse_client_version(std::string_view text);

// Their containers are told what to run by a word of the command line, base64, and not by a file;
// they ask for what is pickled instead of finding it there.
inline constexpr ClientVersion arguments_in_file_since{0, 71, 0};

// Containers say that an input has ended which was cancelled; older ones just ask for the next.
inline constexpr ClientVersion answers_cancels_since{0, 66, 0};

// A text in a field that the schema no longer has; empty if there is none.
std::string former_text(const google::protobuf::Message& message, int field);
void set_former_text(google::protobuf::Message& message, int field, const std::string& text);

// What older clients say otherwise: a GPU by number; the most inputs at once, laid over a function,
// by the name of the wanted ones. What later clients say is left as it is.
void in_todays_words(::modal::client::Function& definition);
void in_todays_words(::modal::client::FunctionOptions& options);

}  // namespace thaw::dialect::modal
