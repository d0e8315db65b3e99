// SPDX-License-Identifier: Apache-2.0
#include "chart.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace arrivals {

namespace {

constexpr double width = 760;
constexpr double height = 460;
constexpr double left = 70;
constexpr double right = 30;
constexpr double top = 50;
constexpr double bottom = 60;

std::string text(double x, double y, const std::string& anchor, const std::string& words,
                 const std::string& more = "") {
  char place[96];
  std::snprintf(place, sizeof place, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" ", x, y,
                anchor.c_str());
  return place + more + ">" + words + "</text>\n";
}

std::string number(double value) {
  char out[32];
  std::snprintf(out, sizeof out, "%.4g", value);
  return out;
}

// A step of 1, 2 or 5 times a power of ten, so that about six fit.
double tick_step(double most) {
  const double rough = most / 6;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= rough) {
      return factor * power;
    }
  }
  return 10 * power;
}

}  // namespace

std::string chart_svg(const std::string& title, const std::string& x_name,
                      const std::string& y_name, const std::vector<Curve>& curves) {
  double most = 1e-9;
  for (const Curve& curve : curves) {
    for (const Dot& dot : curve.dots) {
      most = std::max(most, dot.x);
    }
  }
  most *= 1.08;
  const auto px = [&](double x) { return left + x / most * (width - left - right); };
  const auto py = [&](double y) { return height - bottom - y * (height - top - bottom); };
  std::string out =
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 460\" width=\"760\" "
      "height=\"460\" font-family=\"sans-serif\" font-size=\"12\">\n"
      "<rect width=\"760\" height=\"460\" fill=\"white\"/>\n";
  out += text(width / 2, 26, "middle", title, "font-size=\"15\"");
  const auto line = [&](double x0, double y0, double x1, double y1, const char* colour) {
    char buffer[160];
    std::snprintf(buffer, sizeof buffer,
                  "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>\n", x0, y0,
                  x1, y1, colour);
    out += buffer;
  };
  for (int i = 0; i <= 5; ++i) {
    const double y = i * 0.2;
    line(left, py(y), width - right, py(y), i == 0 ? "#333" : "#ddd");
    out += text(left - 8, py(y) + 4, "end", std::to_string(i * 20) + " %");
  }
  const double step = tick_step(most);
  for (int i = 0; i * step <= most; ++i) {
    const double x = i * step;
    line(px(x), height - bottom, px(x), height - bottom + 5, "#333");
    out += text(px(x), height - bottom + 20, "middle", number(x));
  }
  out += text((left + width - right) / 2, height - 16, "middle", x_name);
  out += text(18, height / 2, "middle", y_name, "transform=\"rotate(-90 18 230)\"");
  double legend = py(0.2);  // below the curves
  for (const Curve& curve : curves) {
    std::string path;
    for (const Dot& dot : curve.dots) {
      path += (path.empty() ? "M" : " L") + number(px(dot.x)) + " " + number(py(dot.y));
    }
    out += "<path d=\"" + path + "\" fill=\"none\" stroke=\"" + curve.colour +
           "\" stroke-width=\"2\"/>\n";
    for (const Dot& dot : curve.dots) {
      out += "<circle cx=\"" + number(px(dot.x)) + "\" cy=\"" + number(py(dot.y)) +
             "\" r=\"3.5\" fill=\"" + curve.colour + "\"/>\n";
      out += text(px(dot.x) + 6, py(dot.y) - 6, "start", dot.label,
                  "fill=\"" + curve.colour + "\" font-size=\"10\"");
    }
    line(left + 16, legend - 4, left + 40, legend - 4, curve.colour.c_str());
    out += text(left + 46, legend, "start", curve.name);
    legend += 18;
  }
  return out + "</svg>\n";
}

}  // namespace arrivals
