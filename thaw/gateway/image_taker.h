// SPDX-License-Identifier: Apache-2.0
//
// ImageTaker: who hears of an image that has a tag in this server's own registry by now, and makes
// more of it, if it is for that: a version of a model. The protocol by which it was pushed and what
// is made of it are two dialects' business, and meet here. Loop thread only.
#pragma once

#include <string>

#include "thaw/async/task.h"
#include "thaw/gateway/access.h"

namespace thaw::gateway {

struct TakenImage {
  Identity who;  // pushed it, and may push
  std::string repository;
  std::string sha256_hex;  // of its manifest, or of an index, which is in the repository
};

class ImageTaker {
 public:
  virtual ~ImageTaker() = default;
  // Ends once it is made, or nothing is to be made of it. An Error says why nothing was: it is told
  // to who pushed the image, which stays whatever comes of it.
  virtual async::Task<void> take(TakenImage image) = 0;
};

}  // namespace thaw::gateway
