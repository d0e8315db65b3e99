// SPDX-License-Identifier: Apache-2.0
//
// The program that serves a bucket (rclone, which the machine has or not), as a sandbox of its own:
// it reads what an endpoint says, which may be anything. It is nobody, in a network that has no way
// out but one port, behind which the server connects it to the endpoint; of the machine's files it
// has itself, the C library and the list of certificate authorities.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "thaw/sandbox/sandbox.h"
#include "thaw/worker/bucket_plan.h"

namespace thaw::worker {

// Where such a sandbox finds its folder of the host: "hosts", and the socket "hand.sock" over which
// it gets the device of the container's folder.
inline constexpr const char* bucket_folder = "/run/bucket";
inline constexpr const char* bucket_socket = "hand.sock";
inline constexpr const char* bucket_hosts = "hosts";

// The bytes of the program that stands in for fusermount (bucket_hand.c).
std::string_view bucket_hand();

class BucketHelper {
 public:
  // `root`: a folder on the host that becomes the lowest layer of these sandboxes; made anew.
  explicit BucketHelper(std::string root) : root_(std::move(root)) {}

  // failed_precondition names the package that the machine lacks.
  Result<void> prepare();
  // All but its id and workspace. `folder`: see above.
  sandbox::SandboxSpec spec_for(const BucketPlan& plan, const std::string& folder) const;
  // Text of "hosts": the endpoint is where its door is.
  static std::string hosts_for(const BucketPlan& plan);

 private:
  std::string root_;
  std::vector<sandbox::BindMount> binds_;  // empty: not prepared yet
};

}  // namespace thaw::worker
