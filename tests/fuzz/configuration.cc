// SPDX-License-Identifier: Apache-2.0
//
// Any text as a configuration file: values within their bounds, or an error that names the file.
#include "thaw/main/configuration.h"

#include "tests/fuzz/target.h"
#include "thaw/os/message.h"

namespace thaw::fuzz {

void run(std::string_view input) {
  const auto file = os::make_memory_file(input);
  expect(file.has_value(), "there are files in memory");
  const std::string path = "/proc/self/fd/" + std::to_string(file->get());
  const auto read = main_program::read_configuration(path);
  if (!read) {
    expect_sentence(read.error());
    expect(read.error().message().find(path) != std::string::npos, "an error names its file");
    return;
  }
  expect(read->fleet.max_containers >= 0 && read->fleet.max_containers <= 100'000 &&
             read->drain_s >= 0 && read->keep_versions >= 1 && read->keep_versions <= 1'000 &&
             read->keep_deployments >= 1 && read->keep_deployments <= 100 &&
             read->keep_results_s >= 1 && read->keep_unused_s >= 0 &&
             read->ephemeral_volume_s >= 1 && read->limits.connections >= 8,
         "numbers are within their bounds");
  expect(read->fleet.freezer.after >= Duration::zero() &&
             read->disk_watch.period >= std::chrono::seconds(1) &&
             read->storage.period >= std::chrono::seconds(1) &&
             read->fleet.keep_alive.price_per_gb > 0,
         "times and prices are more than nothing");
  expect(read->cache_folder.starts_with('/') && !read->bridge_address.empty(),
         "folders are absolute");
}

}  // namespace thaw::fuzz
