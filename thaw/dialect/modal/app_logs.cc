// SPDX-License-Identifier: Apache-2.0
// What an app printed: followed live, or read back.
#include <algorithm>
#include <utility>

#include "thaw/dialect/modal/calls.h"
#include "thaw/dialect/modal/definition.h"
#include "thaw/dialect/modal/rpc.h"
#include "thaw/dialect/modal/services.h"

namespace thaw::dialect::modal {

using async::Task;

namespace {

// What a reply of fetched lines takes at most, and one line of it.
constexpr std::size_t fetched_bytes = 8u << 20;
constexpr std::size_t line_bytes = 64u << 10;

pb::FileDescriptor wire_channel(logs::Channel channel) {
  switch (channel) {
    case logs::Channel::out: return pb::FILE_DESCRIPTOR_STDOUT;
    case logs::Channel::err: return pb::FILE_DESCRIPTOR_STDERR;
    case logs::Channel::info: return pb::FILE_DESCRIPTOR_INFO;
  }
  return pb::FILE_DESCRIPTOR_INFO;
}

pb::TaskLogs item_of(logs::Line line) {
  pb::TaskLogs item;
  item.set_data(std::move(line.text));
  item.set_file_descriptor(wire_channel(line.channel));
  item.set_timestamp(to_seconds(line.time));
  item.set_timestamp_ns(static_cast<std::uint64_t>(line.time.time_since_epoch().count()) * 1000);
  item.set_function_call_id(line.call);
  item.set_input_id(line.input);
  item.set_container_id(line.container);
  return item;
}

// Lines of one container that follow each other make one batch.
std::vector<pb::TaskLogsBatch> batches_of(std::vector<logs::Line> lines) {
  std::vector<pb::TaskLogsBatch> batches;
  for (logs::Line& line : lines) {
    if (batches.empty() || batches.back().task_id() != line.container ||
        batches.back().function_id() != line.function) {
      batches.emplace_back();
      batches.back().set_task_id(line.container);
      batches.back().set_function_id(line.function);
      batches.back().set_root_function_id(line.function);
    }
    batches.back().set_entry_id(std::to_string(line.number) + "-0");
    *batches.back().add_items() = item_of(std::move(line));
  }
  return batches;
}

bool wanted(const logs::Line& line, const pb::AppGetLogsRequest& request) {
  return (request.function_id().empty() || request.function_id() == line.function) &&
         (request.task_id().empty() || request.task_id() == line.container) &&
         (request.function_call_id().empty() || request.function_call_id() == line.call) &&
         (request.search_text().empty() ||
          line.text.find(request.search_text()) != std::string::npos) &&
         (request.file_descriptor() == pb::FILE_DESCRIPTOR_UNSPECIFIED ||
          request.file_descriptor() == wire_channel(line.channel));
}

Task<void> get_logs(Context& cx, net::GrpcCall& call, pb::AppGetLogsRequest request,
                    net::Sink<pb::TaskLogsBatch> sink) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto app, find_app(cx, who, request.app_id()));
  const std::string stream = app->id.str();
  // The client reconnects as soon as the stream ends; never faster than once a second.
  const Instant until = poll_deadline(std::max(request.timeout(), 1.0f), 55s);
  std::uint64_t after = entry_number(request.last_entry_id());
  while (true) {
    THAW_CO_TRY(std::vector<logs::Line> lines,
                co_await cx.parts.logs.follow(stream, after, 500, until));
    if (!lines.empty()) {
      after = lines.back().number;
      std::erase_if(lines, [&](const logs::Line& line) { return !wanted(line, request); });
      const std::vector<pb::TaskLogsBatch> batches = batches_of(std::move(lines));
      std::size_t bytes = 0;
      for (const pb::TaskLogsBatch& batch : batches) {
        bytes += batch.ByteSizeLong();
      }
      // For as long as the reader does not take it.
      THAW_CO_TRY(const HeldOutput::Hold held, cx.held_output.take(who.workspace, bytes));
      for (const pb::TaskLogsBatch& batch : batches) {
        THAW_CO_TRY_VOID(co_await sink.write(batch));
      }
      continue;
    }
    if (cx.parts.logs.ended(stream) && cx.parts.logs.last_number(stream) <= after) {
      pb::TaskLogsBatch done;
      done.set_app_done(true);
      done.set_entry_id(std::to_string(after) + "-0");
      co_return co_await sink.write(done);
    }
    if (monotonic_now() >= until) {
      co_return ok();
    }
  }
}

WallTime wall_from(const google::protobuf::Timestamp& time) {
  return WallTime(std::chrono::seconds(time.seconds()) +
                  std::chrono::microseconds(time.nanos() / 1000));
}

// An app's, or that of an image's build: clients ask for both in the same way.
Result<std::string> stream_of(Context& cx, const gateway::Identity& who, const std::string& id) {
  if (id.starts_with("im-")) {
    if (!scope_of(cx, who).image(id) && !cx.parts.builds.find(who.workspace, model::ImageId(id))) {
      return Error::not_found("image '" + id.substr(0, 80) + "' does not exist");
    }
    return id;
  }
  THAW_TRY(const auto app, find_app(cx, who, id));
  return app->id.str();
}

Task<pb::AppFetchLogsResponse> fetch_logs(Context& cx, net::GrpcCall& call,
                                          pb::AppFetchLogsRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const std::string stream, stream_of(cx, who, request.app_id()));
  logs::Query query;
  query.function = request.function_id();
  query.call = request.function_call_id();
  query.container = request.task_id();
  query.contains = request.search_text();
  query.limit = std::clamp(request.limit(), 1u, 20'000u);
  query.order = logs::Query::Order::newest_first;
  if (request.has_since()) {
    query.since = wall_from(request.since());
  }
  if (request.has_until()) {
    query.until = wall_from(request.until());
  }
  THAW_CO_TRY_VOID(co_await call.reserve_reply(std::min(query.limit * line_bytes, fetched_bytes)));
  THAW_CO_TRY(std::vector<logs::Line> lines, co_await cx.parts.logs.find(stream, query));
  std::sort(lines.begin(), lines.end(),
            [](const auto& a, const auto& b) { return a.number < b.number; });
  if (request.source() != pb::FILE_DESCRIPTOR_UNSPECIFIED) {
    std::erase_if(lines, [&](const logs::Line& line) {
      return wire_channel(line.channel) != request.source();
    });
  }
  pb::AppFetchLogsResponse reply;
  for (pb::TaskLogsBatch& batch : batches_of(std::move(lines))) {
    *reply.add_batches() = std::move(batch);
  }
  co_return reply;
}

Task<pb::AppCountLogsResponse> count_logs(Context& cx, net::GrpcCall& call,
                                          pb::AppCountLogsRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const std::string stream, stream_of(cx, who, request.app_id()));
  logs::Query query;
  query.function = request.function_id();
  query.call = request.function_call_id();
  query.container = request.task_id();
  query.contains = request.search_text();
  query.since = wall_from(request.since());
  query.until = request.has_until() ? wall_from(request.until()) : wall_now();
  query.limit = 100'000;
  THAW_CO_TRY(const std::vector<logs::Line> lines, co_await cx.parts.logs.find(stream, query));
  const std::int64_t width = std::max<std::int64_t>(1, request.bucket_secs());
  std::map<std::int64_t, pb::AppCountLogsResponse::LogBucket> buckets;
  for (const logs::Line& line : lines) {
    const auto at = static_cast<std::int64_t>(to_seconds(line.time)) / width * width;
    auto& bucket = buckets[at];
    bucket.mutable_bucket_start_at()->set_seconds(at);
    switch (line.channel) {
      case logs::Channel::out: bucket.set_stdout_logs(bucket.stdout_logs() + 1); break;
      case logs::Channel::err: bucket.set_stderr_logs(bucket.stderr_logs() + 1); break;
      case logs::Channel::info: bucket.set_system_logs(bucket.system_logs() + 1); break;
    }
  }
  pb::AppCountLogsResponse reply;
  reply.set_app_id(stream);
  for (auto& [at, bucket] : buckets) {
    *reply.add_buckets() = std::move(bucket);
  }
  co_return reply;
}

}  // namespace

void add_log_rpcs(net::GrpcTable& table, Context& cx) {
  add_stream(table, cx, "AppGetLogs", get_logs);
  add(table, cx, "AppFetchLogs", fetch_logs);
  add(table, cx, "AppCountLogs", count_logs);
}

}  // namespace thaw::dialect::modal
