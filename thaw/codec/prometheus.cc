// SPDX-License-Identifier: Apache-2.0
#include "thaw/codec/prometheus.h"

#include <cstdio>

namespace thaw::codec {

namespace {

void append_escaped(std::string& out, std::string_view text) {
  for (const char c : text) {
    if (c == '\\' || c == '"') {
      out += '\\';
    }
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
}

}  // namespace

PrometheusText& PrometheusText::metric(std::string_view name, MetricType type,
                                       std::string_view help) {
  name_ = name;
  text_ += "# HELP " + name_ + " ";
  append_escaped(text_, help);
  text_ += "\n# TYPE " + name_ + (type == MetricType::counter ? " counter\n" : " gauge\n");
  return *this;
}

PrometheusText& PrometheusText::sample(double value, Labels labels) {
  text_ += name_;
  char separator = '{';
  for (const auto& [key, label] : labels) {
    text_ += separator;
    text_.append(key).append("=\"");
    append_escaped(text_, label);
    text_ += '"';
    separator = ',';
  }
  text_ += labels.size() > 0 ? "} " : " ";
  char number[32];
  std::snprintf(number, sizeof number, "%.17g\n", value);
  text_ += number;
  return *this;
}

}  // namespace thaw::codec
