// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/grpc.h"

#include "thaw/base/check.h"

namespace thaw::net {

void GrpcTable::add(std::string path, Method method) {
  const bool is_new = methods_.emplace(std::move(path), std::move(method)).second;
  THAW_CHECK(is_new);
}

const GrpcTable::Method* GrpcTable::find(const std::string& path) const {
  const auto found = methods_.find(path);
  return found == methods_.end() ? nullptr : &found->second;
}

}  // namespace thaw::net
