// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/python_renewal.h"

#include <string>
#include <string_view>

namespace thaw::worker {

std::string_view renewal_program();
std::string_view renewal_start();

namespace {

constexpr int restored_signal = 61;  // as thaw_restore.py has it
constexpr std::string_view variable = "PYTHONPATH=";

}  // namespace

void add_python_renewal(LaunchPlan& plan) {
  plan.snapshot_point->restored_signal = restored_signal;
  if (plan.purpose != LaunchPlan::Purpose::snapshot) {
    return;
  }
  plan.files.push_back({"sitecustomize.py", std::string(renewal_start())});
  plan.files.push_back({"thaw_restore.py", std::string(renewal_program())});
  std::string path = std::string(variable) + container_folder;
  for (const std::string& entry : plan.env) {
    if (entry.starts_with(variable)) {
      path += ":" + entry.substr(variable.size());
    }
  }
  plan.snapshot_env.push_back(std::move(path));
}

}  // namespace thaw::worker
