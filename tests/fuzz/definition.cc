// SPDX-License-Identifier: Apache-2.0
//
// The client's Function message, a variant's options over it, and a query that names a class's
// parameters. What is taken can be stored and is read again as the same; labels are parts of host
// names; what is refused is refused with a sentence.
#include "thaw/dialect/modal/definition.h"

#include <google/protobuf/stubs/logging.h>

#include <algorithm>

#include "tests/fuzz/target.h"

namespace thaw::fuzz {

namespace {

using namespace thaw::dialect::modal;

void check_spec(model::FunctionSpec spec, const pb::Function& definition) {
  expect(!spec.name.empty() && spec.scaling.max_concurrent_inputs >= 1 &&
             spec.scaling.min_containers >= 0 && spec.scaling.batch_max_size >= 0 &&
             spec.scaling.target_concurrent_inputs >= 0,
         "no number of it is less than nothing");
  expect(spec.timeout > Duration::zero() && spec.startup_timeout > Duration::zero() &&
             spec.scaling.scaledown_window > Duration::zero() &&
             spec.retry.initial_delay >= Duration::zero() &&
             spec.retry.max_delay >= Duration::zero(),
         "no time of it is less than nothing");
  for (const model::VolumeMount& mount : spec.volumes) {
    expect(mount.path.starts_with('/') && mount.path.find("/../") == std::string::npos &&
               mount.path.size() > 1,
           "a volume is mounted at an absolute path");
  }
  const auto parsed = parse_definition(spec);
  expect(parsed.has_value(), "a stored definition can be read");
  // An id of the catalog's own is given to each.
  spec.version = "de-1";
  catalog::Function function;
  function.id = model::FunctionId("fu-1");
  function.live_version = spec.version;
  function.versions[spec.version] = std::make_shared<model::FunctionSpec>(spec);
  const auto record = catalog::to_record(function);
  const auto read = catalog::from_record<catalog::Function>(record);
  expect(read.has_value(), "what is taken can be stored");
  const auto again = catalog::to_record(*read);
  expect(again.json == record.json && again.bytes == record.bytes, "and is read as the same");
  spec.web.push_back({.label = "l", .method = ""});
  const auto metadata = handle_metadata(spec, WebAddresses{.authority = "x"});
  expect(metadata.function_name() == definition.function_name(), "its handle has its name");
}

void check_function(const pb::Function& definition) {
  const auto spec = spec_from(definition);
  if (!spec) {
    expect_sentence(spec.error());
    return;
  }
  check_spec(*spec, definition);
  const auto& config = definition.webhook_config();
  for (const LabelPlace& place : {LabelPlace{}, LabelPlace{"team", "Dev!"}}) {
    const auto label =
        web_label("App", definition.function_name(), config, definition.is_class(), place);
    if (!label) {
      expect_sentence(label.error());
      continue;
    }
    expect(label->size() <= 63 &&
               label->find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") ==
                   std::string::npos &&
               !label->starts_with('-') && !label->ends_with('-'),
           "a label is a part of a host's name");
  }
}

}  // namespace

void run(std::string_view input) {
  // The library prints what it refuses.
  [[maybe_unused]] static const auto before = google::protobuf::SetLogHandler(nullptr);
  Bytes bytes(input);
  const std::string_view options_bytes = bytes.text();
  const std::string_view query = bytes.text();
  pb::Function definition;
  if (!definition.ParseFromArray(bytes.rest().data(), static_cast<int>(bytes.rest().size()))) {
    return;
  }
  check_function(definition);
  pb::FunctionOptions options;
  if (options.ParseFromArray(options_bytes.data(), static_cast<int>(options_bytes.size()))) {
    check_function(with_options(definition, options));
  }
  const auto parameters = parameters_in_query(definition, query);
  if (!parameters) {
    expect_sentence(parameters.error());
  } else if (*parameters) {
    pb::ClassParameterSet set;
    expect(set.ParseFromString(**parameters) &&
               set.parameters_size() == definition.class_parameter_info().schema_size(),
           "a query gives each parameter of a class");
  }
}

}  // namespace thaw::fuzz
