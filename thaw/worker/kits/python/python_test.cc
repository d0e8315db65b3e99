// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/kits/python/python.h"

#include <doctest/doctest.h>

#include "thaw/worker/worker.h"

using namespace thaw::worker;

TEST_CASE("what shapes an interpreter of Python") {
  const Kit kit = kits::python();
  for (const char* name : {"PYTHONPATH", "LD_PRELOAD", "OMP_NUM_THREADS", "LANG", "LC_ALL", "TZ"}) {
    CAPTURE(name);
    CHECK(shapes(kit, name));
  }
  for (const char* name : {"API_KEY", "LANGUAGES", "MY_PYTHON", "GRPC_VERBOSITY", ""}) {
    CAPTURE(name);
    CHECK_FALSE(shapes(kit, name));
  }
}

TEST_CASE("a server in Python finds what renews it first, and what it had behind it") {
  LaunchPlan plan;
  plan.env = {"PYTHONPATH=/app"};
  add_renewals(Kits{{kits::python()}}, plan);
  REQUIRE(plan.files.size() == 2);
  CHECK(plan.files[0].name == "sitecustomize.py");
  CHECK(plan.files[1].name == "thaw_restore.py");
  CHECK(plan.files[1].bytes.find("SIGNAL = " + std::to_string(restored_signal)) !=
        std::string::npos);
  CHECK(plan.snapshot_env == std::vector<std::string>{"PYTHONPATH=/run/thaw:/app"});
}
