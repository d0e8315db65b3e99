// SPDX-License-Identifier: Apache-2.0
//
// What build steps inherit from the host so that package managers reach the same places as on the
// host: apt sources and transport, pip and npm indexes, proxies, CA certificates. Steps get it as
// environment and as one read-only folder, /run/thaw-build, bound for the time of the step; the
// image's own configuration files are never touched, so nothing of this is part of a layer.
#pragma once

#include <string>
#include <vector>

#include "thaw/image/base_recipe.h"
#include "thaw/image/image.h"
#include "thaw/sandbox/sandbox.h"

namespace thaw::image {

inline constexpr const char* step_folder = "/run/thaw-build";

// The facts, as read. Pure functions below turn them into settings.
struct Host {
  std::string suite;  // VERSION_CODENAME of a Debian host; empty elsewhere
  std::vector<AptSourceFile> apt_sources;
  std::string apt_config;        // `apt-config dump`
  std::string apt_auth;          // auth.conf and auth.conf.d, one text
  std::string pip_conf;          // of the user, else of the system
  std::string npmrc;             // of the user
  std::string certificates;      // path of the CA bundle; empty: none
  std::vector<std::string> env;  // of this process
};
Host read_host();

struct StepSettings {
  std::vector<std::string> env;
  std::vector<sandbox::BindMount> binds;
};

// "NAME=value" for the [global] section of a pip.conf: index-url becomes PIP_INDEX_URL.
std::vector<std::string> pip_environment(std::string_view pip_conf);
// The lines of an npmrc that say where packages come from and who asks.
std::string npm_transport_settings(std::string_view npmrc);

// Writes the files into `folder` (made if missing) and says what steps get.
Result<StepSettings> make_step_settings(const Host& host, const BuilderOptions& options,
                                        const std::string& folder);

}  // namespace thaw::image
