// SPDX-License-Identifier: Apache-2.0
//
// What an older client has said that an app consists of, until it says by which name it is
// deployed: one deployment, as later clients make it in one request.
#pragma once

#include <memory>

#include "thaw/dialect/modal/kept_for_later.h"
#include "thaw/dialect/modal/proto/functions.pb.h"

namespace thaw::dialect::modal {

struct ObjectsToDeploy {
  KeptForLater<std::shared_ptr<const ::modal::client::AppPublishRequest>> by_app;
};

}  // namespace thaw::dialect::modal
