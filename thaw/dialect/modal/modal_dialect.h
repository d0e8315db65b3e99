// SPDX-License-Identifier: Apache-2.0
//
// ModalDialect: the front door of this folder. main constructs it with the owners, hands its
// runtime to the fleet, and its methods to the server's table. It only translates.
#pragma once

#include <memory>
#include <set>

#include "thaw/control/runtime.h"
#include "thaw/dialect/modal/context.h"
#include "thaw/net/grpc.h"

namespace thaw::dialect::modal {

class ModalDialect {
 public:
  explicit ModalDialect(Parts parts);
  ~ModalDialect();

  control::Runtime& runtime();
  // After the fleet exists and the server's addresses are known.
  void start(control::Fleet& fleet, Settings settings);
  async::Task<void> stop();

  void add_methods(net::GrpcTable& table);
  // Those whose images are being built: a client waits for that with what it has sent.
  std::set<model::WorkspaceId> builders() const;
  // Whose the build of an image is, while that is remembered; else empty.
  model::WorkspaceId builder_of(const model::ImageId& image) const;
  net::HttpHandler web_handler();                         // for /web/…
  net::HttpHandler volume_handler();                      // for /volumes/…, signed
  bool is_signed(const net::HttpRequest& request) const;  // a /volumes/… address of this server's
  // The handler of a request to a function's own host, or nullptr.
  const net::HttpHandler* handler_by_host(const net::HttpRequest& request);

 private:
  std::unique_ptr<Context> cx_;
  std::unique_ptr<control::Runtime> runtime_;
  net::HttpHandler host_handler_;
};

}  // namespace thaw::dialect::modal
