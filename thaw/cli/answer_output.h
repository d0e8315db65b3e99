// SPDX-License-Identifier: Apache-2.0
//
// What a function answered, on standard output as it comes.
#pragma once

#include <string>

#include "thaw/net/http_client.h"

namespace thaw::cli {

// `who`: whose answer it is, for errors. Prints the body, whatever the status; unavailable with the
// status if that is no success.
async::Task<void> print_answer(net::ClientResponse& response, std::string who);

}  // namespace thaw::cli
