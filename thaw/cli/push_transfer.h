// SPDX-License-Identifier: Apache-2.0
//
// How a pushed folder reaches the server: contents that it lacks are sent, by their digests, then
// the definition is published while what its build prints is passed on.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/cli/admin_client.h"
#include "thaw/cli/push_folder.h"

namespace thaw::cli {

// Says on a terminal how far it is. `files` and `client` outlive the task.
async::Task<void> send_files(ServerClient& client, const std::vector<FolderFile>& files);

using BuildOutput = std::function<void(std::string_view)>;
// The function as the server tells of it. failed_precondition: it was not published, with why.
async::Task<codec::Json> publish(ServerClient& client, std::string definition, BuildOutput output);

}  // namespace thaw::cli
