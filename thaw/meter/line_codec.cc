// SPDX-License-Identifier: Apache-2.0
#include "thaw/meter/line_codec.h"

#include "thaw/codec/fields.h"
#include "thaw/codec/json.h"

namespace thaw::meter {

namespace {

constexpr std::int64_t most = std::int64_t{1} << 53;

void put(codec::Json& json, const char* name, const std::optional<std::int64_t>& number) {
  if (number) {
    json[name] = *number;
  }
}

void get(codec::Fields& fields, const codec::Json& json, const char* name,
         std::optional<std::int64_t>& out) {
  if (json.contains(name)) {
    out.emplace(0);
    fields.read_within<std::int64_t>(name, *out, 0, most);
  }
}

}  // namespace

std::string write_line(const Line& line) {
  codec::Json json = {{"id", line.start.id},
                      {"call", line.start.call},
                      {"attempt", line.start.attempt},
                      {"kind", static_cast<int>(line.start.kind)},
                      {"token", line.start.token},
                      {"front", line.start.front},
                      {"origin", static_cast<int>(line.start.origin)},
                      {"level", static_cast<int>(line.start.level)},
                      {"queued_us", line.start.queued_us},
                      {"container", line.container},
                      {"workspace", line.workspace},
                      {"function", line.function},
                      {"outcome", line.outcome},
                      {"ended", line.ended.time_since_epoch().count()},
                      {"run_us", line.run_us},
                      {"share_us", line.share_us},
                      {"cold_us", line.cold_us},
                      {"route", line.route}};
  put(json, "bytes_in", line.start.bytes_in);
  put(json, "bytes_out", line.bytes_out);
  put(json, "tokens_in", line.tokens.in);
  put(json, "tokens_out", line.tokens.out);
  put(json, "tokens_cached", line.tokens.cached);
  return codec::dump_json(json);
}

Result<Line> read_line(std::string_view text) {
  THAW_TRY(const codec::Json json, codec::parse_json(std::string(text)));
  if (!json.is_object()) {
    return Error::data_loss("a line of the ledger is no object");
  }
  Line line;
  codec::Fields fields(json);
  fields.read("id", line.start.id);
  fields.read("call", line.start.call);
  fields.read_within("attempt", line.start.attempt, 0, 1'000'000'000);
  fields.read_enum("kind", line.start.kind, LineStart::Kind::exchange);
  fields.read("token", line.start.token);
  fields.read("front", line.start.front);
  fields.read_enum("origin", line.start.origin, model::Origin::schedule);
  fields.read_enum("level", line.start.level, model::last_level);
  fields.read("container", line.container);
  fields.read("workspace", line.workspace);
  fields.read("function", line.function);
  fields.read("outcome", line.outcome);
  fields.read_time("ended", line.ended);
  fields.read("route", line.route);
  for (const auto& [name, number] :
       {std::pair{"queued_us", &line.start.queued_us}, std::pair{"run_us", &line.run_us},
        std::pair{"share_us", &line.share_us}, std::pair{"cold_us", &line.cold_us}}) {
    fields.read_within<std::int64_t>(name, *number, 0, most);
  }
  get(fields, json, "bytes_in", line.start.bytes_in);
  get(fields, json, "bytes_out", line.bytes_out);
  get(fields, json, "tokens_in", line.tokens.in);
  get(fields, json, "tokens_out", line.tokens.out);
  get(fields, json, "tokens_cached", line.tokens.cached);
  THAW_TRY_VOID(fields.outcome());
  if (line.start.id.empty() || line.workspace.empty() || line.function.empty()) {
    return Error::data_loss("a line of the ledger does not say whose it is");
  }
  return line;
}

}  // namespace thaw::meter
