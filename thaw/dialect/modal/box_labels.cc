// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/box_labels.h"

#include "thaw/store/blob_store.h"

namespace thaw::dialect::modal {

std::string box_label(const Context& cx, const model::ContainerId& container,
                      const std::string& what) {
  constexpr std::size_t digits = 40;  // a label has 63 letters
  const std::string secret = cx.parts.secrets.sign("box-label", container.str() + "\n" + what);
  return "box-" + store::sha256_hex(secret).substr(0, digits);
}

std::function<bool()> while_it_lives(const control::BoxPtr& box) {
  return [one = std::weak_ptr<control::Box>(box)] {
    const control::BoxPtr still = one.lock();
    return still != nullptr && !still->record.has_ended();
  };
}

std::string target_below(const net::HttpRequest& request, const std::string& root_path) {
  std::string target(request.path().substr(root_path.size()));
  target = target.empty() ? "/" : target;
  return request.query().empty() ? target : target + "?" + std::string(request.query());
}

}  // namespace thaw::dialect::modal
