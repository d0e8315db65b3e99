// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/registry/cloud_names.h"

#include <algorithm>
#include <cctype>
#include <string_view>
#include <vector>

namespace thaw::dialect::registry {

namespace {

bool are_digits(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return std::isdigit(c) != 0; });
}

std::vector<std::string_view> labels_of(std::string_view host) {
  std::vector<std::string_view> labels;
  while (true) {
    const auto dot = host.find('.');
    labels.push_back(host.substr(0, dot));
    if (dot == std::string_view::npos) {
      return labels;
    }
    host.remove_prefix(dot + 1);
  }
}

// ACCOUNT.dkr.ecr.REGION.amazonaws.com, also with "ecr-fips" and with ".cn" behind it.
bool is_ecr(std::string_view host) {
  constexpr std::size_t account_digits = 12;
  std::vector<std::string_view> labels = labels_of(host);
  if (!labels.empty() && labels.back() == "cn") {
    labels.pop_back();
  }
  return labels.size() == 6 && labels[0].size() == account_digits && are_digits(labels[0]) &&
         labels[1] == "dkr" && (labels[2] == "ecr" || labels[2] == "ecr-fips") &&
         !labels[3].empty() && labels[4] == "amazonaws" && labels[5] == "com";
}

}  // namespace

std::optional<std::string> repository_for(const image::ImageName& name) {
  if (name.host == "r8.im" || is_ecr(name.host)) {
    return name.path;
  }
  return std::nullopt;
}

}  // namespace thaw::dialect::registry
