// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/snapshots.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "thaw/os/files.h"

namespace thaw::worker {

namespace fs = std::filesystem;

StartFile read_start_file(const std::string& folder) {
  std::ifstream in(folder + ".start");
  std::int64_t nanoseconds = 0;
  std::string word;
  in >> nanoseconds >> word;
  const Instant moment{Duration(std::max<std::int64_t>(nanoseconds, 0))};
  return {moment <= monotonic_now() ? moment : Instant{}, word == "restorable"};
}

async::Task<void> wake_restored(sandbox::Sandbox& sandbox, const SnapshotPoint& point,
                                std::string folder) {
  THAW_CO_TRY_VOID(sandbox.signal(point.restored_signal));
  const Instant give_up = monotonic_now() + 5s;
  while (read_start_file(folder).started == Instant{}) {
    if (::kill(sandbox.pid(), 0) != 0) {
      co_return Error::unavailable("the restored program ended at once");
    }
    if (monotonic_now() > give_up) {
      co_return Error::deadline_exceeded("the restored program did not answer");
    }
    THAW_CO_TRY_VOID(co_await async::sleep_for(500us));
  }
  // It appears whole: the program looks for it all the time.
  const std::string fresh = folder + "/." + point.file_name;
  THAW_CO_TRY_VOID(os::create_text(fresh, point.file_bytes, 0600));
  std::error_code error;
  fs::rename(fresh, folder + "/" + point.file_name, error);
  if (error) {
    co_return Error::from_errno(error.value(), "tell a restored program who it is");
  }
  co_return ok();
}

}  // namespace thaw::worker
