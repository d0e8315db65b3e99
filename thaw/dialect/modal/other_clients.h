// SPDX-License-Identifier: Apache-2.0
//
// The clients for JavaScript and for Go, where they must hear something else than the one for
// Python: which of the two kinds asks is a header of each RPC. Pure.
#pragma once

#include <string>

#include "thaw/dialect/modal/proto/base.pb.h"
#include "thaw/net/http.h"

namespace thaw::dialect::modal {

inline bool is_other_client(const net::Headers& head) {
  const std::string type(head.find("x-modal-client-type").value_or(""));
  return type == std::to_string(::modal::client::CLIENT_TYPE_LIBMODAL_JS) ||
         type == std::to_string(::modal::client::CLIENT_TYPE_LIBMODAL_GO);
}

}  // namespace thaw::dialect::modal
