// SPDX-License-Identifier: Apache-2.0
//
// Which base a tag in FROM means, and what apt sources it is made from. Thaw builds Debian roots
// itself: debian:* and python:3.N-slim-* (in the Debian suite that ships 3.N). The sources are the
// host's own, moved to that suite; no mirror is named here. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/image/image.h"

namespace thaw::image {

struct BaseRecipe {
  std::string suite;   // "bookworm"; empty: FROM scratch, an empty root
  std::string python;  // "3.11"; empty: none
  ImageConfig config;
  std::string note;  // where the root differs from what the tag promises

  std::string name() const;  // "python-3.11-bookworm": for people and folder names
};

// An image that is made by a recipe on a base of ours, in place of a pull.
struct DerivedRecipe {
  Recipe recipe;
  std::string note;  // how it comes about, for the build's log
};

// uv's image, of what package indexes have (`COPY --from=ghcr.io/astral-sh/uv:…` wants it), the
// image of find_added_python(), and python:3.N of a minor version that no suite ships: the nearest
// one, later ones first, which says so in the variable wanted_python. nullopt for every other
// reference.
std::optional<DerivedRecipe> find_derived_recipe(std::string_view reference);

// An image that has a Python of a minor version ("3.11") in /python, to be copied into /usr/local
// of any image: it brings its C library and every other one along. The nearest version that can be
// had, as above; nullopt: nobody knows what it would be near to.
struct AddedPython {
  std::string reference;  // for COPY --from=
  std::string python;     // the version that it has
};
std::optional<AddedPython> find_added_python(std::string_view minor);

// Set in images whose Python is not of the minor version that was asked for, to that version.
inline constexpr std::string_view wanted_python = "THAW_WANTED_PYTHON";

// not_found for a tag that no recipe makes; the message names what can be had.
Result<BaseRecipe> find_base_recipe(std::string_view reference);

struct AptSourceFile {
  std::string name;  // "debian.sources" or "debian.list": the suffix tells the format
  std::string text;
};

// The entries of the host for its own Debian suite (release, updates, security), moved to `suite`,
// in deb822 form. Empty if the host has none; third-party archives are left out.
std::string sources_for_suite(const std::vector<AptSourceFile>& files, std::string_view host_suite,
                              std::string_view suite);

// `apt-config dump` of the host reduced to how it reaches its archives: proxies, checks of dates.
// Paths to certificates are left out, build steps have their own.
std::string apt_transport_settings(std::string_view apt_config_dump);

}  // namespace thaw::image
