// SPDX-License-Identifier: Apache-2.0
//
// The server's TLS: which certificates the configuration names, when they are read anew, what
// clients are told of an authority of one's own, and that nobody listens to the world in plain
// words without having said why.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "thaw/async/blocking.h"
#include "thaw/async/task.h"
#include "thaw/net/server.h"
#include "thaw/net/tls.h"

namespace thaw::main_program {

struct TlsSettings {
  std::vector<net::TlsFiles> files;  // [server] tls
  std::string authority_file;        // [server] tls_authority; empty: one that everybody knows
  std::string plain_because;         // [server] plain_because
};

// failed_precondition: beyond loopback, without certificates, and nobody has said why.
Result<void> check_listening(const TlsSettings& settings, const std::string& listen,
                             bool is_on_loopback);
// Null: there are none.
Result<std::shared_ptr<const net::TlsIdentities>> read_identities(const TlsSettings& settings);
// The host that clients are told: `listened`, if a certificate is for it, else one that is.
std::string host_of_certificates(const net::TlsIdentities& identities, const std::string& listened);

// Looks at the files every few seconds and hands them to the server when they have changed; what
// cannot be used is told once, and those that were read go on. Runs until it is cancelled.
async::Task<void> keep_identities(async::Pool& pool, net::Server& server,
                                  const TlsSettings& settings);

// What the usual clients read to trust the machine's authorities and this one: writes bundle.pem
// beside it. Blocks.
Result<std::map<std::string, std::string>> trust_variables(const std::string& authority_file);

}  // namespace thaw::main_program
