// SPDX-License-Identifier: Apache-2.0
//
// What a folder says by itself of the server in it: which preset it keeps, which port it listens
// at, what it may be called. Pure. A preset is guessed only from what nothing else has; all else is
// `plain`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace thaw::cli {

// What may be pushed, for people.
inline constexpr const char* pushed_folders =
    "with a Dockerfile, or a cog.yaml; .dockerignore is honoured";

struct PresetGuess {
  std::string preset;
  std::string because;  // "the folder has a cog.yaml"
};

// `paths`: of the folder's files, "/cog.yaml".
PresetGuess guess_preset(const std::vector<std::string>& paths, std::string_view dockerfile);

// What is wrong with a folder of these names and no Dockerfile, and what to do: "has no …".
std::string why_no_dockerfile(const std::vector<std::string>& names);

// The first port that the last stage says with EXPOSE; 0: none, or not in plain numbers.
std::uint16_t exposed_port(std::string_view dockerfile);

// A folder's name as a function may be called: small letters, digits and dashes, at most 40.
std::string function_name_of(std::string_view folder_name);

}  // namespace thaw::cli
