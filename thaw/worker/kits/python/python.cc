// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/kits/python/python.h"

#include <string>
#include <string_view>

#include "thaw/worker/worker.h"

namespace thaw::worker::kits {

// The files of this folder, which travel inside the program.
std::string_view fork_program();
std::string_view thaw_restore();
std::string_view thaw_server_start();

Kit python() {
  Kit kit;
  kit.name = "python";
  kit.fork = Kit::ForkProgram{
      .file = {"template.py", std::string(fork_program())},
      .command = {"python", "-u"},
      .module_folders = {"/usr", "/opt"},
  };
  kit.renewal = Kit::Renewal{
      .files = {{"sitecustomize.py", std::string(thaw_server_start())},
                {"thaw_restore.py", std::string(thaw_restore())}},
      .variable = "PYTHONPATH",
      .value = container_folder,
      .joint = ":",
  };
  // The interpreter's, and those of what its numerical and network modules are made of.
  kit.shaping = {"PYTHON*", "OMP_*",     "GOMP_*", "KMP_*",    "MKL_*",     "OPENBLAS_*", "GOTO_*",
                 "BLIS_*",  "NUMEXPR_*", "CUDA_*", "NVIDIA_*", "OPENSSL_*", "SSL_*"};
  return kit;
}

}  // namespace thaw::worker::kits
