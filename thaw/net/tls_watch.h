// SPDX-License-Identifier: Apache-2.0
//
// TlsWatch: the files of TlsIdentities, looked at again and again, so that a renewed certificate is
// shown without a restart. They are read when something of them has changed, each day (which also
// changes the key of the tickets that clients come again with), and, where they cannot be used,
// each minute until they can: what was wrong may lie outside of them. One thread at a time.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "thaw/net/tls.h"

namespace thaw::net {

class TlsWatch {
 public:
  explicit TlsWatch(std::vector<TlsFiles> files) : files_(std::move(files)) {}

  // Null: those that were read last go on. An Error is why what is there now cannot be used, told
  // once as long as it is the same. The first look reads. Blocks.
  Result<std::shared_ptr<const TlsIdentities>> look(WallTime now, Instant at);

 private:
  const std::vector<TlsFiles> files_;
  std::string used_;    // what the files were like when they were read; empty: never
  std::string failed_;  // what they were like when they could not be used
  std::string told_;
  Instant read_again_ = Instant::min();
};

}  // namespace thaw::net
