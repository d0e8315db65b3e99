// SPDX-License-Identifier: Apache-2.0
// The stored form of boxes, and how they are found by name.
#include "thaw/catalog/catalog.h"
#include "thaw/catalog/detail/decode.h"

namespace thaw::catalog {

namespace {

codec::Json json_of(const std::vector<model::BoxPort>& ports) {
  codec::Json list = codec::Json::array();
  for (const model::BoxPort& port : ports) {
    list.push_back({{"port", port.port}, {"speaks", static_cast<int>(port.speaks)}});
  }
  return list;
}

}  // namespace

template <>
StoredRecord to_record(const model::Box& b) {
  return {codec::dump_json({{"id", b.id},
                            {"container", b.container},
                            {"workspace", b.workspace},
                            {"environment", b.environment},
                            {"app", b.app},
                            {"name", b.name},
                            {"tags", b.tags},
                            {"image", b.image},
                            {"created_us", detail::micros(b.created_at)},
                            {"started_us", detail::micros(b.started_at)},
                            {"ended_us", detail::micros(b.ended_at)},
                            {"time_limit_ns", detail::nanos(b.time_limit)},
                            {"idle_limit_ns", detail::nanos(b.idle_limit)},
                            {"ports", json_of(b.ports)},
                            {"reached_from", b.reached_from},
                            {"end", static_cast<int>(b.end)},
                            {"exit_code", b.exit_code},
                            {"why", b.why}}),
          {}};
}

template <>
Result<model::Box> from_record(const StoredRecord& record) {
  return detail::decode<model::Box>(record, [](codec::Fields& fields, model::Box& b) {
    fields.read("id", b.id);
    fields.read("container", b.container);
    fields.read("workspace", b.workspace);
    fields.read("environment", b.environment);
    fields.read("app", b.app);
    fields.read("name", b.name);
    fields.read("tags", b.tags);
    fields.read("image", b.image);
    fields.read_time("created_us", b.created_at);
    fields.read_time("started_us", b.started_at);
    fields.read_time("ended_us", b.ended_at);
    fields.read_duration("time_limit_ns", b.time_limit);
    fields.read_duration("idle_limit_ns", b.idle_limit);
    for (const codec::Json& one : fields.items("ports")) {
      codec::Fields port(one);
      model::BoxPort& read = b.ports.emplace_back();
      port.read("port", read.port);
      port.read_enum("speaks", read.speaks, model::BoxPort::Speaks::http2);
      fields.include(port);
    }
    fields.read("reached_from", b.reached_from);
    fields.read_enum("end", b.end, model::BoxEnd::server_gone);
    fields.read("exit_code", b.exit_code);
    fields.read("why", b.why);
  });
}

template <>
Weight weight_of(const model::Box& b) {
  // Its end counts from its beginning, so that it can be written however much others have become.
  std::size_t bytes = b.name.size() + model::Box::longest_why;
  for (const auto& [key, value] : b.tags) {
    bytes += key.size() + value.size();
  }
  for (const std::string& network : b.reached_from) {
    bytes += network.size();
  }
  return {b.workspace.str(), bytes};
}

std::string box_key(const model::AppId& app, const std::string& name) {
  return app.str() + "/" + name;
}

}  // namespace thaw::catalog
