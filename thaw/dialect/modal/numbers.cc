// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/numbers.h"

#include <google/protobuf/descriptor.h>

#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

namespace thaw::dialect::modal {

namespace pb = ::modal::client;

namespace {

constexpr std::uint64_t most_inputs = 100'000;  // of a container
constexpr std::uint64_t longest_s = 366ull * 24 * 3600;
constexpr std::uint64_t longest_window_s = 100'000;
constexpr std::uint64_t longest_linger_ms = 24ull * 3600 * 1000;
constexpr std::uint64_t most_memory_mb = 64ull << 20;
constexpr std::uint64_t most_cpu_millis = 10'000'000;
constexpr std::uint64_t most_gpus = 10'000;
constexpr std::uint64_t most_retries = 1'000'000;
constexpr double most_backoff = 1e6;

struct Limit {
  const char* field;
  std::uint64_t value;
  std::uint64_t most;
};

Result<void> check(std::initializer_list<Limit> limits) {
  for (const Limit& limit : limits) {
    if (limit.value > limit.most) {
      return Error::invalid_argument(std::string(limit.field) + " is " +
                                     std::to_string(limit.value) + "; it may be at most " +
                                     std::to_string(limit.most));
    }
  }
  return ok();
}

Result<void> check_finite(const google::protobuf::Message& message, const std::string& path) {
  using google::protobuf::FieldDescriptor;
  const auto* reflection = message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const std::string name = path + std::string(field->name());
    const int count = field->is_repeated() ? reflection->FieldSize(message, field) : 1;
    for (int i = 0; i < count; ++i) {
      double value = 0;
      if (field->cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE) {
        value = field->is_repeated() ? reflection->GetRepeatedDouble(message, field, i)
                                     : reflection->GetDouble(message, field);
      } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_FLOAT) {
        value = static_cast<double>(field->is_repeated()
                                        ? reflection->GetRepeatedFloat(message, field, i)
                                        : reflection->GetFloat(message, field));
      } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
        const auto& part = field->is_repeated() ? reflection->GetRepeatedMessage(message, field, i)
                                                : reflection->GetMessage(message, field);
        THAW_TRY_VOID(check_finite(part, name + "."));
      } else {
        break;
      }
      if (!std::isfinite(value)) {
        return Error::invalid_argument(name + " is " + std::to_string(value) +
                                       "; it must be a finite number");
      }
    }
  }
  return ok();
}

Result<void> check_web(const pb::WebhookConfig& web) {
  if (web.type() == pb::WEBHOOK_TYPE_WEB_SERVER &&
      (web.web_server_port() == 0 || web.web_server_port() > 65'535)) {
    return Error::invalid_argument("webhook_config.web_server_port is " +
                                   std::to_string(web.web_server_port()) +
                                   "; a port is a number from 1 to 65535");
  }
  return ok();
}

}  // namespace

Result<void> check_numbers(const pb::AutoscalerSettings& settings) {
  THAW_TRY_VOID(check_finite(settings, "autoscaler_settings."));
  return check(
      {{"autoscaler_settings.scaledown_window", settings.scaledown_window(), longest_window_s}});
}

Result<void> check_numbers(const pb::Function& f) {
  THAW_TRY_VOID(check_finite(f, ""));
  THAW_TRY_VOID(check_numbers(f.autoscaler_settings()));
  THAW_TRY_VOID(check_web(f.webhook_config()));
  for (const auto& [name, method] : f.method_definitions()) {
    THAW_TRY_VOID(check_web(method.webhook_config()));
  }
  const double backoff = static_cast<double>(f.retry_policy().backoff_coefficient());
  if (backoff < 0 || backoff > most_backoff) {
    return Error::invalid_argument("retry_policy.backoff_coefficient is " +
                                   std::to_string(backoff) + "; it must be from 0 to 1000000");
  }
  const auto& resources = f.resources();
  return check(
      {{"task_idle_timeout_secs", f.task_idle_timeout_secs(), longest_window_s},
       {"max_concurrent_inputs", f.max_concurrent_inputs(), most_inputs},
       {"target_concurrent_inputs", f.target_concurrent_inputs(), most_inputs},
       {"batch_max_size", f.batch_max_size(), most_inputs},
       {"batch_linger_ms", f.batch_linger_ms(), longest_linger_ms},
       {"timeout_secs", f.timeout_secs(), longest_s},
       {"startup_timeout_secs", f.startup_timeout_secs(), longest_s},
       {"retry_policy.retries", f.retry_policy().retries(), most_retries},
       {"retry_policy.initial_delay_ms", f.retry_policy().initial_delay_ms(), longest_s * 1000},
       {"retry_policy.max_delay_ms", f.retry_policy().max_delay_ms(), longest_s * 1000},
       {"resources.memory_mb", resources.memory_mb(), most_memory_mb},
       {"resources.memory_mb_max", resources.memory_mb_max(), most_memory_mb},
       {"resources.milli_cpu", resources.milli_cpu(), most_cpu_millis},
       {"resources.milli_cpu_max", resources.milli_cpu_max(), most_cpu_millis},
       {"resources.gpu_config.count", resources.gpu_config().count(), most_gpus}});
}

}  // namespace thaw::dialect::modal
