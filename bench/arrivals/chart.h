// SPDX-License-Identifier: Apache-2.0
//
// The curve of the comparison as an SVG file.
#pragma once

#include <string>
#include <vector>

namespace arrivals {

struct Dot {
  double x;  // wasted memory-time
  double y;  // share of cold calls
  std::string label;
};

struct Curve {
  std::string name;
  std::string colour;
  std::vector<Dot> dots;  // in order of x
};

std::string chart_svg(const std::string& title, const std::string& x_name,
                      const std::string& y_name, const std::vector<Curve>& curves);

}  // namespace arrivals
