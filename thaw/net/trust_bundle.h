// SPDX-License-Identifier: Apache-2.0
//
// What programs of this machine are told to trust beside an authority of one's own: variables such
// as SSL_CERT_FILE replace the machine's authorities, so the file that they name has both. Blocks.
#pragma once

#include <string>

#include "thaw/base/result.h"

namespace thaw::net {

// The machine's authorities and those in `authority_file`, as bundle.pem beside that; anybody may
// read it. It is replaced as a whole, and only if it would be another. Gives its path.
Result<std::string> write_trust_bundle(const std::string& authority_file);

// Writes beside it and renames, so that readers see all of it or what was there before.
Result<void> replace_file(const std::string& path, const std::string& text, unsigned mode);

}  // namespace thaw::net
