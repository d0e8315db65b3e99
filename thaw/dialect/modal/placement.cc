// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/placement.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string>
#include <string_view>

namespace thaw::dialect::modal {

namespace pb = ::modal::client;

namespace {

// In the order of that cloud's own list; the client sends capitals.
constexpr std::array<std::string_view, 17> gpus = {
    "ANY",          "T4",   "L4",    "A10",  "A10G", "L40S",  "A100", "A100-40GB", "A100-80GB",
    "RTX-PRO-6000", "H100", "H100!", "H200", "B200", "B200+", "B300", "GB200"};

constexpr std::array<std::string_view, 4> clouds = {"aws", "gcp", "oci", "auto"};

// What the names of regions begin with, of each of these clouds and of all of them together.
constexpr std::array<std::string_view, 24> region_areas = {
    "us", "eu",  "uk",     "ca",        "ap",     "me",      "sa",           "af",
    "mx", "jp",  "au",     "il",        "in",     "asia",    "europe",       "africa",
    "cn", "gov", "mexico", "australia", "canada", "mideast", "northamerica", "southamerica"};

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

std::string shown(std::string_view name) { return "\"" + std::string(name.substr(0, 80)) + "\""; }

template <class List>
std::string list_of(const List& names) {
  std::string text;
  for (const std::string_view name : names) {
    text += (text.empty() ? "" : ", ") + std::string(name);
  }
  return text;
}

bool is_region(std::string_view name) {
  const std::string text = lower(name);
  const bool is_plain = std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::islower(c) != 0 || std::isdigit(c) != 0 || c == '-';
  });
  const std::string area = text.substr(0, text.find('-'));
  return is_plain && text.size() <= 40 && !text.ends_with('-') &&
         std::find(region_areas.begin(), region_areas.end(), area) != region_areas.end();
}

Result<void> check_gpu(const pb::Function& f) {
  const std::string& name = f.resources().gpu_config().gpu_type();
  std::string upper(name);
  std::transform(upper.begin(), upper.end(), upper.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  if (name.empty() || std::find(gpus.begin(), gpus.end(), upper) != gpus.end()) {
    return ok();
  }
  return Error::invalid_argument("function '" + f.function_name() +
                                 "' asks for gpu=" + shown(name) +
                                 ", which is no GPU that is known; known are " + list_of(gpus));
}

Result<void> check_region(const pb::Function& f, std::string_view argument,
                          const std::string& name) {
  if (is_region(name)) {
    return ok();
  }
  return Error::invalid_argument(
      "function '" + f.function_name() + "' asks for " + std::string(argument) + "=" + shown(name) +
      ", which is no region that is known; a region is called as in \"us\", \"eu-west\" or "
      "\"us-east-1\", and all functions run on this machine whichever is named: leave it out");
}

}  // namespace

Result<void> check_placement(const pb::Function& f) {
  THAW_TRY_VOID(check_gpu(f));
  const std::string cloud = lower(f.cloud_provider_str());
  if (!cloud.empty() && std::find(clouds.begin(), clouds.end(), cloud) == clouds.end()) {
    return Error::invalid_argument(
        "function '" + f.function_name() + "' asks for cloud=" + shown(f.cloud_provider_str()) +
        ", which is no cloud that is known; known are " + list_of(clouds) +
        ", and all functions run on this machine whichever is named: leave it out");
  }
  for (const std::string& region : f.scheduler_placement().regions()) {
    THAW_TRY_VOID(check_region(f, "region", region));
  }
  if (!f.routing_region().empty()) {
    THAW_TRY_VOID(check_region(f, "routing_region", f.routing_region()));
  }
  if (f.i6pn_enabled()) {
    return Error::unimplemented(
        "function '" + f.function_name() +
        "' asks for i6pn=True, a network between containers, which is not served by this version "
        "of Thaw; leave it out where containers do not talk to each other");
  }
  if (f.has_network_access() &&
      f.network_access().network_access_type() == pb::NetworkAccess::ALLOWLIST) {
    return Error::unimplemented("function '" + f.function_name() +
                                "' asks for a list of addresses that it may reach, which is not "
                                "served by this version of Thaw; block_network=True is");
  }
  return ok();
}

}  // namespace thaw::dialect::modal
