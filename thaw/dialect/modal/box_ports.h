// SPDX-License-Identifier: Apache-2.0
//
// Ports of sandboxes. A port without encryption is a port of this machine, bytes untouched. One
// with encryption is a host of its own at the server's own listener, where clients reach that by
// HTTPS, and carries HTTP; else it is a port of this machine that speaks TLS, where the server has
// a certificate; where it has none nothing encrypts. They end with the sandbox.
#pragma once

#include <vector>

#include "thaw/control/boxes.h"
#include "thaw/dialect/modal/context.h"
#include "thaw/dialect/modal/proto/sandboxes.pb.h"

namespace thaw::dialect::modal {

namespace pb = ::modal::client;

// What a definition says of the network: its ports, whom it reaches and who reaches it.
// invalid_argument and unimplemented name what cannot be.
Result<void> network_from(const pb::Sandbox& definition, control::BoxSpec& spec);

// Opens what a box that lives has asked for and is not open yet, for who reaches the server by
// these addresses. failed_precondition: this server offers none; resource_exhausted names the
// limit.
Result<void> open_ports(Context& cx, const WebAddresses& addresses, const control::BoxPtr& box);
// Where they are.
void tell_tunnels(Context& cx, const WebAddresses& addresses, const control::BoxPtr& box,
                  google::protobuf::RepeatedPtrField<pb::TunnelData>& out);

// The label below which who shows a connect token reaches a box; connect_tokens.cc.
void lend_connect_label(Context& cx, const control::BoxPtr& box);
// Those of all that live, for a server that has been asked for none yet.
void lend_box_labels(Context& cx);

}  // namespace thaw::dialect::modal
