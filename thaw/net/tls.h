// SPDX-License-Identifier: Apache-2.0
//
// TlsIdentities: the certificates that a server shows, each with its key and the names that it is
// for. Read from files as a whole and never changed: a reload reads another one, and connections
// that are open keep theirs. What a client is shown follows from the name that it asks for (SNI):
// the certificate that names it, one whose wildcard does, else the first. Any thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "thaw/base/result.h"
#include "thaw/base/time.h"

namespace thaw::net {

struct TlsFiles {
  std::string certificate;  // PEM: the server's own first, then those between it and a root
  std::string key;          // PEM, without a passphrase
  std::vector<std::string>
      names;  // "example.com", "*.example.com"; none: what the certificate says
};

class TlsIdentities {
 public:
  // invalid_argument, not_found or permission_denied name the file and say what is wrong with it:
  // it is no PEM, the key is another certificate's, `now` is not within its time.
  static Result<std::shared_ptr<const TlsIdentities>> read(const std::vector<TlsFiles>& files,
                                                           WallTime now);
  ~TlsIdentities();
  TlsIdentities(const TlsIdentities&) = delete;
  TlsIdentities& operator=(const TlsIdentities&) = delete;

  // Names and addresses that they are for, in order.
  std::vector<std::string> names() const;
  // The earliest end of one of them.
  WallTime valid_until() const;

  struct Contexts;  // of the library
  const Contexts& contexts() const { return *contexts_; }

 private:
  explicit TlsIdentities(std::unique_ptr<Contexts> contexts);
  std::unique_ptr<Contexts> contexts_;
};

}  // namespace thaw::net
