// SPDX-License-Identifier: Apache-2.0
// What a client asks of one sandbox that runs: to start processes in it, their streams and their
// ends. It shows the sandbox's own token (router_access.h) and no other; what its token does not
// name does not exist.
#include "thaw/codec/ids.h"
#include "thaw/dialect/modal/proto/task_router.pb.h"
#include "thaw/dialect/modal/router_access.h"
#include "thaw/dialect/modal/rpc.h"
#include "thaw/dialect/modal/sandbox_definition.h"
#include "thaw/dialect/modal/services.h"

namespace thaw::dialect::modal {

namespace tr = ::modal::task_command_router;
using async::Task;
using control::BoxProcessPtr;
using control::BoxPtr;
using control::KeptOutput;

namespace {

constexpr std::size_t piece_bytes = 256u << 10;
constexpr std::size_t longest_id = 128;

template <class Request, class Reply>
void add_to_router(net::GrpcTable& table, Context& cx, std::string_view name,
                   Task<Reply> (*function)(Context&, net::GrpcCall&, Request)) {
  table.unary<Request, Reply>(router_path(name), [&cx, function](net::GrpcCall& call, Request r) {
    return function(cx, call, std::move(r));
  });
}

template <class Request, class Item>
void add_stream_to_router(net::GrpcTable& table, Context& cx, std::string_view name,
                          Task<void> (*function)(Context&, net::GrpcCall&, Request,
                                                 net::Sink<Item>)) {
  table.server_stream<Request, Item>(
      router_path(name), [&cx, function](net::GrpcCall& call, Request r, net::Sink<Item> sink) {
        return function(cx, call, std::move(r), sink);
      });
}

Result<BoxPtr> box_of(Context& cx, const net::GrpcCall& call, const std::string& task_id) {
  THAW_TRY(const RouterClaim claim, claim_of(cx, call.metadata()));
  BoxPtr box = cx.parts.boxes.find(claim.container);
  if (claim.container.str() != task_id || !box || box->record.workspace != claim.workspace) {
    return Error::not_found("container '" + task_id.substr(0, 80) +
                            "' does not exist, or has ended");
  }
  return box;
}

Result<BoxProcessPtr> process_of(Context& cx, const net::GrpcCall& call, const std::string& task_id,
                                 const std::string& exec_id) {
  THAW_TRY(const BoxPtr box, box_of(cx, call, task_id));
  BoxProcessPtr process = control::Boxes::find_process(*box, exec_id);
  if (!process) {
    return Error::not_found("process '" + exec_id.substr(0, 80) +
                            "' does not exist in container '" + task_id + "'");
  }
  return process;
}

// Clients count a program's time from the answer to its start, and tell its limit in their own way
// (-1) when they reach it; a busy machine gives that answer late. The signal that ends the program
// is not to come before.
constexpr Duration sees_its_end_first = std::chrono::seconds(2);

Result<control::GuestSpec> guest_from(const catalog::Scope& scope,
                                      const tr::TaskExecStartRequest& request) {
  control::GuestSpec guest;
  guest.id = request.exec_id();
  if (guest.id.empty() || guest.id.size() > longest_id) {
    return Error::invalid_argument("exec_id has 1 to 128 bytes");
  }
  if (!request.container_id().empty()) {
    return Error::unimplemented(
        "further containers of a sandbox are not served by this version "
        "of Thaw");
  }
  THAW_TRY(guest.argv, command_from(request.command_args()));
  guest.cwd = request.workdir();
  guest.terminal = terminal_from(request.pty_info(), guest.environment);
  THAW_TRY(const std::vector<control::EnvSource> secrets,
           environment_from(scope, request.secret_ids()));
  THAW_TRY(const std::vector<control::EnvSource> more,
           environment_from(scope, request.secret_sources()));
  guest.environment.insert(guest.environment.end(), secrets.begin(), secrets.end());
  guest.environment.insert(guest.environment.end(), more.begin(), more.end());
  std::size_t bytes = 0;
  for (const auto& [name, value] : request.env()) {
    THAW_TRY(std::string variable, variable_from(name, value));
    bytes += variable.size();
    if (bytes > most_env_bytes) {
      return Error::invalid_argument("an environment has at most 1 MiB");
    }
    guest.environment.emplace_back(std::move(variable));
  }
  if (request.timeout_secs() > 0) {
    guest.time_limit = std::chrono::seconds(request.timeout_secs()) + sees_its_end_first;
  }
  using Loses = KeptOutput::Loses;
  guest.keeps.out =
      request.stdout_config() == tr::TASK_EXEC_STDOUT_CONFIG_PIPE ? Loses::none : Loses::all;
  guest.keeps.error =
      request.stderr_config() == tr::TASK_EXEC_STDERR_CONFIG_DEVNULL ? Loses::all : Loses::none;
  return guest;
}

Task<tr::TaskExecStartResponse> start(Context& cx, net::GrpcCall& call,
                                      tr::TaskExecStartRequest request) {
  THAW_CO_TRY(const BoxPtr box, box_of(cx, call, request.task_id()));
  const model::Box& record = box->record;
  const catalog::Scope scope(cx.parts.catalog, record.workspace, record.environment);
  THAW_CO_TRY(control::GuestSpec guest, guest_from(scope, request));
  THAW_CO_TRY_VOID(co_await cx.parts.boxes.start_process(box, std::move(guest)));
  co_return tr::TaskExecStartResponse();
}

// Of a process whose output is thrown away there is nothing to read.
Task<void> read_output(Context& cx, net::GrpcCall& call, tr::TaskExecStdioReadRequest request,
                       net::Sink<tr::TaskExecStdioReadResponse> sink) {
  THAW_CO_TRY(const BoxProcessPtr process,
              process_of(cx, call, request.task_id(), request.exec_id()));
  const bool of_errors = request.file_descriptor() == tr::TASK_EXEC_STDIO_FILE_DESCRIPTOR_STDERR;
  KeptOutput& output = of_errors ? process->error() : process->out();
  std::uint64_t place = request.offset();
  while (true) {
    THAW_CO_TRY(KeptOutput::Piece piece, co_await output.read(place, piece_bytes, Instant::max()));
    if (piece.is_end) {
      co_return ok();
    }
    place = piece.offset + piece.bytes.size();
    tr::TaskExecStdioReadResponse reply;
    reply.set_data(std::move(piece.bytes));
    THAW_CO_TRY_VOID(co_await sink.write(reply));
  }
}

Task<tr::TaskExecStdinWriteResponse> write_input(Context& cx, net::GrpcCall& call,
                                                 tr::TaskExecStdinWriteRequest request) {
  THAW_CO_TRY(const BoxProcessPtr process,
              process_of(cx, call, request.task_id(), request.exec_id()));
  THAW_CO_TRY_VOID(
      co_await process->write(request.offset(), std::move(*request.mutable_data()), request.eof()));
  co_return tr::TaskExecStdinWriteResponse();
}

// A client that broke off goes on where the process got to.
Task<tr::TaskExecStdinStatusResponse> input_status(Context& cx, net::GrpcCall& call,
                                                   tr::TaskExecStdinStatusRequest request) {
  THAW_CO_TRY(const BoxProcessPtr process,
              process_of(cx, call, request.task_id(), request.exec_id()));
  const control::BoxProcess::InputState state = process->input();
  tr::TaskExecStdinStatusResponse reply;
  reply.set_num_bytes_written(state.written);
  reply.set_closed(state.is_closed);
  co_return reply;
}

Task<tr::TaskExecStdinWriteStreamResponse> write_stream(
    Context& cx, net::GrpcCall& call, net::Source<tr::TaskExecStdinWriteStreamRequest> source) {
  BoxProcessPtr process;
  std::uint64_t place = 0;
  while (true) {
    THAW_CO_TRY(std::optional<tr::TaskExecStdinWriteStreamRequest> message, co_await source.next());
    if (!message) {
      // Without a word of its end the input stays open, for who goes on.
      co_return Error::invalid_argument("the stream of a process's input ended without its end");
    }
    if (message->has_start() != (process == nullptr)) {
      co_return Error::invalid_argument("a stream of input begins with one start");
    }
    if (message->has_start()) {
      const auto& begun = message->start();
      THAW_CO_TRY(process, process_of(cx, call, begun.task_id(), begun.exec_id()));
      place = begun.offset();
    } else if (message->has_end()) {
      THAW_CO_TRY_VOID(co_await process->write(place, "", true));
      co_return tr::TaskExecStdinWriteStreamResponse();
    } else {
      const std::size_t size = message->data().size();
      THAW_CO_TRY_VOID(co_await process->write(place, std::move(*message->mutable_data()), false));
      place += size;
    }
  }
}

template <class Reply>
Result<Reply> status_of(const control::BoxProcess& process) {
  if (process.failure()) {
    return *process.failure();
  }
  Reply reply;
  if (const auto& end = process.end()) {
    if (end->signal != 0) {
      reply.set_signal(end->signal);
    } else {
      reply.set_code(end->code);
    }
  }
  return reply;
}

Task<tr::TaskExecPollResponse> poll(Context& cx, net::GrpcCall& call,
                                    tr::TaskExecPollRequest request) {
  THAW_CO_TRY(const BoxProcessPtr process,
              process_of(cx, call, request.task_id(), request.exec_id()));
  co_return status_of<tr::TaskExecPollResponse>(*process);
}

Task<tr::TaskExecWaitResponse> wait(Context& cx, net::GrpcCall& call,
                                    tr::TaskExecWaitRequest request) {
  THAW_CO_TRY(const BoxProcessPtr process,
              process_of(cx, call, request.task_id(), request.exec_id()));
  THAW_CO_TRY([[maybe_unused]] const bool ended, co_await process->wait_for_end(Instant::max()));
  co_return status_of<tr::TaskExecWaitResponse>(*process);
}

// --- the sandbox's own program ---

Task<void> read_main(Context& cx, net::GrpcCall& call, tr::SandboxStdioReadV2Request request,
                     net::Sink<tr::SandboxStdioReadV2Response> sink) {
  THAW_CO_TRY(const BoxPtr box, box_of(cx, call, request.task_id()));
  const BoxProcessPtr main = box->main;
  KeptOutput& output = request.file_descriptor() == tr::SANDBOX_STDIO_FILE_DESCRIPTOR_STDERR
                           ? main->error()
                           : main->out();
  std::uint64_t place = request.offset();
  while (true) {
    THAW_CO_TRY(KeptOutput::Piece piece, co_await output.read(place, piece_bytes, Instant::max()));
    if (piece.is_end) {
      co_return ok();
    }
    place = piece.offset + piece.bytes.size();
    tr::SandboxStdioReadV2Response reply;
    reply.set_starting_offset(piece.offset);
    reply.set_data(std::move(piece.bytes));
    THAW_CO_TRY_VOID(co_await sink.write(reply));
  }
}

Task<tr::SandboxStdinWriteV2Response> write_main(Context& cx, net::GrpcCall& call,
                                                 tr::SandboxStdinWriteV2Request request) {
  THAW_CO_TRY(const BoxPtr box, box_of(cx, call, request.task_id()));
  const BoxProcessPtr main = box->main;
  THAW_CO_TRY_VOID(
      co_await main->write(request.offset(), std::move(*request.mutable_data()), request.eof()));
  box->last_use = monotonic_now();
  co_return tr::SandboxStdinWriteV2Response();
}

Task<tr::SandboxWaitUntilReadyTcrResponse> until_ready(
    Context& cx, net::GrpcCall& call, tr::SandboxWaitUntilReadyTcrRequest request) {
  THAW_CO_TRY(const BoxPtr box, box_of(cx, call, request.task_id()));
  THAW_CO_TRY(const WallTime at,
              co_await cx.parts.boxes.wait_until_ready(box, poll_deadline(request.timeout(), 1h)));
  tr::SandboxWaitUntilReadyTcrResponse reply;
  reply.set_ready_at(unix_seconds(at));
  co_return reply;
}

// A volume is one folder that all its containers share: what others have written is there.
Task<tr::TaskReloadVolumesResponse> reload_volumes(Context& cx, net::GrpcCall& call,
                                                   tr::TaskReloadVolumesRequest request) {
  THAW_CO_TRY([[maybe_unused]] const BoxPtr box, box_of(cx, call, request.task_id()));
  co_return tr::TaskReloadVolumesResponse();
}

// An image of its own, which is kept as any image that nothing uses.
Task<tr::TaskSnapshotFilesystemResponse> snapshot_root(Context& cx, net::GrpcCall& call,
                                                       tr::TaskSnapshotFilesystemRequest request) {
  THAW_CO_TRY(const BoxPtr box, box_of(cx, call, request.task_id()));
  if (request.snapshot_id().empty() || request.snapshot_id().size() > longest_id) {
    co_return Error::invalid_argument("snapshot_id has 1 to 128 bytes");
  }
  if (!request.container_id().empty() || request.has_customer_supplied_encryption_key()) {
    co_return Error::unimplemented(
        "snapshots of further containers, or with a key, are not served by this version of Thaw");
  }
  const model::WorkspaceId workspace = box->record.workspace;
  const model::ImageId of = box->record.image;
  if (auto measure = cx.parts.boxes.measure_root(box->record.container)) {
    THAW_CO_TRY(const worker::RootUse use, co_await std::move(*measure));
    THAW_CO_TRY_VOID(cx.parts.disk.check(workspace.str(), use.bytes));
  }
  THAW_CO_TRY(const std::string key, co_await cx.parts.boxes.snapshot(box, request.snapshot_id()));
  const catalog::Scope scope(cx.parts.catalog, workspace);
  model::Image image;
  image.id = model::ImageId(codec::derived_id("im", key));
  if (!scope.image(image.id.str())) {
    const auto parent = scope.image(of.str());
    image.workspace = workspace;
    image.key = key;
    image.builder_version = parent ? parent->builder_version : "";
    THAW_CO_TRY_VOID(co_await cx.parts.catalog.images.put(image));
  }
  tr::TaskSnapshotFilesystemResponse reply;
  reply.set_image_id(image.id.str());
  co_return reply;
}

}  // namespace

void add_router_rpcs(net::GrpcTable& table, Context& cx) {
  add_to_router(table, cx, "TaskExecStart", start);
  add_stream_to_router(table, cx, "TaskExecStdioRead", read_output);
  add_to_router(table, cx, "TaskExecStdinWrite", write_input);
  add_to_router(table, cx, "TaskExecStdinStatus", input_status);
  table.client_stream<tr::TaskExecStdinWriteStreamRequest, tr::TaskExecStdinWriteStreamResponse>(
      router_path("TaskExecStdinWriteStream"),
      [&cx](net::GrpcCall& call, net::Source<tr::TaskExecStdinWriteStreamRequest> source) {
        return write_stream(cx, call, source);
      });
  add_to_router(table, cx, "TaskExecPoll", poll);
  add_to_router(table, cx, "TaskExecWait", wait);
  add_stream_to_router(table, cx, "SandboxStdioReadV2", read_main);
  add_to_router(table, cx, "SandboxStdinWriteV2", write_main);
  add_to_router(table, cx, "SandboxWaitUntilReady", until_ready);
  add_to_router(table, cx, "TaskReloadVolumes", reload_volumes);
  add_to_router(table, cx, "TaskSnapshotFilesystem", snapshot_root);
}

}  // namespace thaw::dialect::modal
