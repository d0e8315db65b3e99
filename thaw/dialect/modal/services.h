// SPDX-License-Identifier: Apache-2.0
//
// The RPCs of the Modal dialect by topic: each function enters its methods into the table.
// modal_dialect.cc calls them all; anything else answers UNIMPLEMENTED and names the feature.
#pragma once

#include "thaw/dialect/modal/context.h"
#include "thaw/net/grpc.h"

namespace thaw::dialect::modal {

void add_account_rpcs(net::GrpcTable& table, Context& cx);  // tokens, workspace, environments
void add_app_rpcs(net::GrpcTable& table, Context& cx);
void add_older_rpcs(net::GrpcTable& table, Context& cx);  // what only older clients call
void add_log_rpcs(net::GrpcTable& table, Context& cx);
void add_function_rpcs(net::GrpcTable& table, Context& cx);  // functions and classes
void add_call_rpcs(net::GrpcTable& table, Context& cx);
void add_call_list_rpcs(net::GrpcTable& table, Context& cx);  // lists and graphs
void add_tunnel_rpcs(net::GrpcTable& table, Context& cx);
void add_call_data_rpcs(net::GrpcTable& table, Context& cx);  // generators and web bodies
void add_container_rpcs(net::GrpcTable& table, Context& cx);
void add_image_rpcs(net::GrpcTable& table, Context& cx);
void add_image_name_rpcs(net::GrpcTable& table, Context& cx);
void add_mount_rpcs(net::GrpcTable& table, Context& cx);  // mounts and blobs
void add_secret_rpcs(net::GrpcTable& table, Context& cx);
void add_dict_rpcs(net::GrpcTable& table, Context& cx);
void add_queue_rpcs(net::GrpcTable& table, Context& cx);
void add_volume_rpcs(net::GrpcTable& table, Context& cx);
void add_volume_file_rpcs(net::GrpcTable& table, Context& cx);
void add_volume_read_rpcs(net::GrpcTable& table, Context& cx);
void add_network_file_system_rpcs(net::GrpcTable& table, Context& cx);
void add_sandbox_rpcs(net::GrpcTable& table, Context& cx);
void add_connect_token_rpcs(net::GrpcTable& table, Context& cx);
void add_container_exec_rpcs(net::GrpcTable& table, Context& cx);
void add_router_rpcs(net::GrpcTable& table, Context& cx);  // of one sandbox, by its own token

}  // namespace thaw::dialect::modal
