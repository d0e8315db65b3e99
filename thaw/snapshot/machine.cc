// SPDX-License-Identifier: Apache-2.0
#include "thaw/snapshot/machine.h"

#include <sys/utsname.h>

#include <sstream>

#include "thaw/os/files.h"
#include "thaw/store/blob_store.h"

namespace thaw::snapshot {

namespace {

std::string cpu_facts() {
  const auto text = os::read_text("/proc/cpuinfo");
  if (!text) {
    return "unknown";
  }
  std::string facts;
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line) && !line.empty();) {  // of the first CPU
    for (const char* name : {"vendor_id", "cpu family", "model", "stepping", "microcode", "flags",
                             "Features", "CPU implementer", "CPU part"}) {
      if (line.starts_with(name)) {
        facts += line + "\n";
        break;
      }
    }
  }
  return facts;
}

}  // namespace

std::string describe_machine(const std::string& criu_program) {
  utsname kernel{};
  ::uname(&kernel);
  const auto boot = os::read_text("/proc/sys/kernel/random/boot_id");
  const auto program = os::read_text(criu_program);
  return store::sha256_hex(std::string(kernel.release) + "\n" + kernel.version + "\n" +
                           kernel.machine + "\n" + cpu_facts() + (boot ? *boot : "") +
                           (program ? store::sha256_hex(*program) : "none"));
}

}  // namespace thaw::snapshot
