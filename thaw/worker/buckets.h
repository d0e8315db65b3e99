// SPDX-License-Identifier: Apache-2.0
//
// Buckets as folders of containers. Each has a helper of its own (bucket_helper.h), a sandbox
// beside the container's, whose only way out is a relay of this server to the bucket's endpoint.
// The folder's requests go from the container to the helper through the kernel; when the helper has
// ended, they fail at once. Loop thread only.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "thaw/async/event.h"
#include "thaw/async/loop.h"
#include "thaw/async/task_group.h"
#include "thaw/net/port_relay.h"
#include "thaw/os/fd.h"
#include "thaw/sandbox/sandbox.h"
#include "thaw/worker/bucket_endpoints.h"
#include "thaw/worker/bucket_helper.h"

namespace thaw::worker {

// Of one container, and one bucket. stop() before it is destroyed.
class BucketMount {
 public:
  // What people are told of it, in the log of its container.
  using Say = std::function<void(std::string)>;

  // The other side of the container's folder: from now on its requests are answered.
  void serve(sandbox::ServedMount served);
  // After the container's programs have ended: until the endpoint has taken what they wrote, or the
  // limit is over, which is told.
  async::Task<void> flush(Duration limit);
  // The container is being killed: programs that wait for the endpoint wait no longer than that.
  void break_off_in(Duration limit);
  // The host folder with what the helper keeps of files that are changed.
  std::string kept_files() const { return helper_ ? helper_->root_writes() : std::string(); }
  async::Task<void> stop();
  ~BucketMount();

 private:
  friend class Buckets;
  BucketMount(async::Loop& loop, BucketPlan plan, std::string folder, Say say);
  Result<void> make_folder();
  static async::Task<void> hand_over(BucketMount& self);
  static async::Task<void> watch(BucketMount& self);
  enum class Stream { out, error };
  static async::Task<void> pump(BucketMount& self, Stream stream);
  static async::Task<void> break_off(BucketMount& self, Duration limit);
  void tell(const std::string& text);

  async::Loop& loop_;
  BucketPlan plan_;
  std::string folder_;  // on the host, of the helper
  Say say_;
  os::Fd listener_;  // where the helper asks for the device
  sandbox::ServedMount served_;
  std::unique_ptr<sandbox::Sandbox> helper_;
  std::unique_ptr<net::PortRelay> relay_;
  async::TaskGroup::Handle handing_over_;
  async::TaskGroup::Handle breaking_off_;
  bool is_ending_ = false;
  std::size_t told_ = 0;  // lines, in the minute that began at …
  Instant told_since_{};
  async::TaskGroup tasks_;  // last: ended first
};

struct BucketsParts {
  async::Loop& loop;
  sandbox::Spawner& spawner;
  BucketEndpoints endpoints;
  std::string helper_root;  // a folder of the data folder, made anew
  std::string run_folder;   // as the worker's
};

class Buckets {
 public:
  explicit Buckets(BucketsParts parts) : parts_(std::move(parts)), helper_(parts_.helper_root) {}

  // `name`: of the helper's sandbox. failed_precondition: this machine serves no buckets; and what
  // BucketEndpoints::check() says.
  async::Task<std::unique_ptr<BucketMount>> open(BucketPlan plan, std::string name,
                                                 std::string workspace, BucketMount::Say say);

 private:
  async::Task<void> begin(BucketMount& mount, std::string name, std::string workspace);

  BucketsParts parts_;
  BucketHelper helper_;
};

}  // namespace thaw::worker
