// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/named_state.h"

#include <cctype>

#include "thaw/codec/sha256.h"

namespace thaw::dialect::modal {

namespace pb = ::modal::client;
using Making = gateway::NamedStates::Making;

Result<void> check_object_name(const std::string& name, const std::string& what) {
  const auto harmless = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
  };
  if (name.empty() || name.size() > 64 || !std::all_of(name.begin(), name.end(), harmless)) {
    return Error::invalid_argument("'" + name.substr(0, 80) + "' cannot be the name of " + what +
                                   ": 1 to 64 letters, digits, '-', '_' and '.'");
  }
  return ok();
}

Result<Making> making_of(pb::ObjectCreationType type) {
  switch (type) {
    case pb::OBJECT_CREATION_TYPE_UNSPECIFIED: return Making::find;
    case pb::OBJECT_CREATION_TYPE_CREATE_IF_MISSING: return Making::if_missing;
    case pb::OBJECT_CREATION_TYPE_CREATE_FAIL_IF_EXISTS: return Making::new_only;
    case pb::OBJECT_CREATION_TYPE_EPHEMERAL: return Making::ephemeral;
    default:
      return Error::invalid_argument(
          "dicts and queues are looked up, created if they are missing, "
          "or ephemeral; they are not made in the way " +
          std::to_string(static_cast<int>(type)));
  }
}

state::RequestKey request_key(const net::GrpcCall& call, const gateway::Identity& who) {
  const auto key = call.metadata().find("x-idempotency-key");
  if (!key || key->empty()) {
    return {};
  }
  const std::string& path = call.path();
  std::string text = who.container.str() + " " + path.substr(path.rfind('/') + 1) + " ";
  constexpr std::size_t longest = 128;
  if (key->size() <= longest) {
    text += *key;
  } else {
    codec::Sha256 digest;
    digest.update(*key);
    text += digest.hex();
  }
  return state::RequestKey(std::move(text));
}

std::string asker_of(const gateway::Identity& who) { return who.container.str(); }

Error as_told(Error error) {
  return error.code() == Code::out_of_range
             ? Error::invalid_argument(error.message() + " (status = '413')")
             : error;
}

}  // namespace thaw::dialect::modal
