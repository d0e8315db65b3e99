// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/box_visits.h"

#include <algorithm>

#include "thaw/gateway/peer_list.h"

namespace thaw::gateway {

namespace {

// Of a box and of its workspace, for as long as an exchange goes on.
class Counted {
 public:
  Counted(control::BoxPtr box, std::map<model::WorkspaceId, std::size_t>& counts)
      : box_(std::move(box)), counts_(counts) {
    ++box_->visits;
    ++counts_[box_->record.workspace];
  }
  ~Counted() {
    --box_->visits;
    box_->last_use = monotonic_now();
    const auto count = counts_.find(box_->record.workspace);
    if (--count->second == 0) {
      counts_.erase(count);
    }
  }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

 private:
  control::BoxPtr box_;
  std::map<model::WorkspaceId, std::size_t>& counts_;
};

}  // namespace

async::Task<void> BoxVisits::lead(net::HttpExchange& exchange, BoxVisit visit) {
  const control::BoxPtr box = visit.box;
  THAW_CO_TRY(const std::string address, boxes_.address_of(box->record.container));
  const auto& networks = box->record.reached_from;
  if (!networks.empty() && !is_in(networks, visit.origin.client)) {
    co_return Error::permission_denied("this sandbox is not reached from " + visit.origin.client);
  }
  const auto count = counts_.find(box->record.workspace);
  if (count != counts_.end() && count->second >= most_of_workspace) {
    co_return Error::resource_exhausted("the sandboxes of this workspace have " +
                                        std::to_string(most_of_workspace) +
                                        " requests under way; try again later");
  }
  const Counted counted(box, counts_);
  net::Endpoint endpoint{address, visit.to.port, ""};
  if (visit.to.speaks == model::BoxPort::Speaks::http2) {
    endpoint.wire = net::Endpoint::Wire::h2c;
  }
  net::ProxyOptions options;
  options.target = visit.target;
  options.add_headers = forwarded_headers(visit.origin);
  for (auto& [name, value] : visit.adds.fields) {
    options.add_headers.add(name, value);
  }
  options.withholds = [&visit](std::string_view header) {
    // WSGI and CGI give "x_forwarded_for" the name of "x-forwarded-for".
    std::string name(header);
    std::replace(name.begin(), name.end(), '_', '-');
    return is_forwarded_header(name) || (visit.withholds && visit.withholds(name));
  };
  options.edit_answer = [&visit](net::Headers& headers) {
    keep_below(visit.origin, visit.root_path, headers);
    if (visit.edit_answer) {
      visit.edit_answer(headers);
    }
  };
  // tidy(held): `visit` and `counted` are of this coroutine, which outlives the exchange
  co_return co_await http_.proxy(exchange, std::move(endpoint), std::move(options));
}

}  // namespace thaw::gateway
