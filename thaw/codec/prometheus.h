// SPDX-License-Identifier: Apache-2.0
//
// The Prometheus text format, version 0.0.4: metrics by name, each with help, type and samples.
// https://prometheus.io/docs/instrumenting/exposition_formats/
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace thaw::codec {

enum class MetricType { counter, gauge };

class PrometheusText {
 public:
  using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

  // Begins a metric; its samples follow.
  PrometheusText& metric(std::string_view name, MetricType type, std::string_view help);
  PrometheusText& sample(double value, Labels labels = {});
  std::string str() const { return text_; }

 private:
  std::string name_;
  std::string text_;
};

}  // namespace thaw::codec
