// SPDX-License-Identifier: Apache-2.0
//
// CogFile: what a cog.yaml says, as plain values. Keys that mean nothing here are named in
// warnings; a value of another type, and what would have to be done and cannot be, is an error that
// names the key and its line. The file comes from whoever made the folder and is trusted in
// nothing. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "thaw/base/result.h"

namespace thaw::cli {

struct CogFile {
  std::string python_version;  // "3.12"; empty: not said
  std::vector<std::string> python_packages;
  std::string python_requirements;  // a file of the folder, "requirements.txt"; empty: none
  std::vector<std::string> system_packages;
  std::vector<std::string> run;  // commands of the build, one line each
  std::vector<std::pair<std::string, std::string>> environment;
  std::string cog_version;                   // sdk_version; empty: not said
  std::optional<std::uint32_t> concurrency;  // predictions in one container at once
  bool gpu = false;
  std::string predictor;  // "predict.py:Predictor"
  std::string trainer;    // "train.py:train"; empty: none
  std::string image;      // "r8.im/owner/name"; empty: not said
  std::vector<std::string> warnings;
};

constexpr std::size_t most_cog_file_bytes = 256u << 10;

Result<CogFile> read_cog_file(std::string_view text);

}  // namespace thaw::cli
