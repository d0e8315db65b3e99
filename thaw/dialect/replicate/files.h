// SPDX-License-Identifier: Apache-2.0
//
// Files: what clients send ahead of a prediction and name in its input, for a day; and the signed
// addresses by which containers and clients get such files, and those of outputs, without a token.
// A file is a blob of its workspace, in its share of the disk. Loop thread only.
#pragma once

#include <string>
#include <vector>

#include "thaw/dialect/replicate/context.h"

namespace thaw::dialect::replicate {

async::Task<void> serve_new_file(Context& cx, gateway::Identity who, net::HttpExchange& exchange);
async::Task<void> serve_files(Context& cx, gateway::Identity who, net::HttpExchange& exchange);
async::Task<void> serve_file(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                             std::string id);
async::Task<void> serve_file_bytes(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                                   std::string id);

// A signed address of a blob of the workspace. `name`: what it is called there.
std::string signed_file_url(const Context& cx, const gateway::BaseUrl& base,
                            const model::WorkspaceId& workspace, const std::string& sha256_hex,
                            std::string_view content_type, std::string_view name);
async::Task<void> serve_signed_file(Context& cx, net::HttpExchange& exchange);
// Blobs that such addresses in a payload name, and those of an output's files. Any thread.
void find_files(std::string_view payload, std::vector<std::string>& names);

// Addresses of this API's files in an input become such as the model's container may read.
// not_found names the file that is not there.
Result<void> make_readable(const Context& cx, const gateway::Identity& who, codec::Json& input);
// A large file that an input has in itself becomes a blob, and its place that blob's address.
async::Task<void> put_input_files_aside(Context& cx, model::WorkspaceId workspace,
                                        codec::Json& input);

}  // namespace thaw::dialect::replicate
