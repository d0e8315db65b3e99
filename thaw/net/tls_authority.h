// SPDX-License-Identifier: Apache-2.0
//
// An authority of one's own, for machines that no public one knows: a certificate that its owner's
// programs are told to trust, and certificates for servers that it has signed. Keys are of P-256.
// Pure but for randomness; texts are PEM.
#pragma once

#include <string>
#include <vector>

#include "thaw/base/result.h"
#include "thaw/base/time.h"

namespace thaw::net {

struct PemPair {
  std::string certificate;
  std::string key;
};

struct Validity {
  WallTime from;
  WallTime until;
};

// It may sign certificates of servers, and no further authorities.
Result<PemPair> make_authority(const std::string& name, Validity validity);
// `names`: hosts, "*.host" and addresses, at least one; invalid_argument names what is none.
Result<PemPair> make_server_certificate(const PemPair& authority,
                                        const std::vector<std::string>& names, Validity validity);

struct CertificateFacts {
  std::vector<std::string> names;  // hosts and addresses that it is for
  Validity validity;
};
// Of the first certificate in the text.
Result<CertificateFacts> facts_of_certificate(const std::string& pem);

}  // namespace thaw::net
