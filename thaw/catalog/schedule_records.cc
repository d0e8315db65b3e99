// SPDX-License-Identifier: Apache-2.0
// The stored form of how far schedules have come.

#include "thaw/catalog/detail/decode.h"
#include "thaw/catalog/records.h"

namespace thaw::catalog {

using codec::Fields;
using codec::Json;
using detail::decode;
using detail::micros;

template <>
StoredRecord to_record(const ScheduleState& s) {
  Json runs = Json::array();
  for (const ScheduleRun& run : s.runs) {
    runs.push_back({{"tick_us", micros(run.tick)}, {"call", run.call}, {"why", run.why}});
  }
  return {codec::dump_json({{"id", s.id},
                            {"function", s.function},
                            {"workspace", s.workspace},
                            {"of", s.of},
                            {"told_until_us", micros(s.told_until)},
                            {"runs", runs}}),
          {}};
}

template <>
Result<ScheduleState> from_record(const StoredRecord& record) {
  return decode<ScheduleState>(record, [](Fields& fields, ScheduleState& s) {
    fields.read("id", s.id);
    fields.read("function", s.function);
    fields.read("workspace", s.workspace);
    fields.read("of", s.of);
    fields.read_time("told_until_us", s.told_until);
    for (const Json& item : fields.items("runs")) {
      ScheduleRun run;
      Fields part(item);
      part.read_time("tick_us", run.tick);
      part.read("call", run.call);
      part.read("why", run.why);
      fields.include(part);
      s.runs.push_back(std::move(run));
    }
    if (s.id != schedule_id(s.function)) {
      fields.wrong("id", "is not that of its function");
    }
  });
}

template <>
Weight weight_of(const ScheduleState& s) {
  std::size_t bytes = s.of.size();
  for (const ScheduleRun& run : s.runs) {
    bytes += run.call.str().size() + run.why.size() + sizeof run.tick;
  }
  return {s.workspace.str(), bytes};
}

}  // namespace thaw::catalog
