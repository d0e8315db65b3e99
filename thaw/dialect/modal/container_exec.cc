// SPDX-License-Identifier: Apache-2.0
// Processes in sandboxes as clients of before the router ask for them: of the server itself, with
// their own token. A process has one id, which begins with its container's.
#include "thaw/codec/ids.h"
#include "thaw/codec/utf8.h"
#include "thaw/dialect/modal/rpc.h"
#include "thaw/dialect/modal/sandbox_definition.h"
#include "thaw/dialect/modal/services.h"

namespace thaw::dialect::modal {

using async::Task;
using control::BoxProcessPtr;
using control::KeptOutput;

namespace {

constexpr Duration longest_wait = 55s;
constexpr std::size_t piece_bytes = 256u << 10;
constexpr char separator = ':';

struct FoundProcess {
  control::BoxPtr box;
  BoxProcessPtr process;
};

Result<FoundProcess> find_process(Context& cx, const net::GrpcCall& call,
                                  const std::string& exec_id) {
  THAW_TRY(const gateway::Identity who, identify(cx, call));
  const std::size_t end = exec_id.find(separator);
  FoundProcess found;
  found.box = box_of_container(cx, who, exec_id.substr(0, end));
  if (found.box && end < exec_id.size()) {
    found.process = control::Boxes::find_process(*found.box, exec_id.substr(end + 1));
  }
  if (!found.process) {
    return Error::not_found("process '" + exec_id.substr(0, 80) + "' does not exist");
  }
  return found;
}

KeptOutput::Loses kept(pb::ExecOutputOption option) {
  return option == pb::EXEC_OUTPUT_OPTION_DEVNULL ? KeptOutput::Loses::all
                                                  : KeptOutput::Loses::none;
}

Task<pb::ContainerExecResponse> exec(Context& cx, net::GrpcCall& call,
                                     pb::ContainerExecRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  const control::BoxPtr box = box_of_container(cx, who, request.task_id());
  if (!box) {
    THAW_CO_TRY([[maybe_unused]] const auto spec, find_container(cx, who, request.task_id()));
    co_return Error::unimplemented(
        "processes in the containers of functions are not served by this version of Thaw; those "
        "in sandboxes are");
  }
  control::GuestSpec guest;
  guest.id = codec::random_lower(20);
  THAW_CO_TRY(guest.argv, command_from(request.command()));
  guest.cwd = request.workdir();
  guest.terminal = terminal_from(request.pty_info(), guest.environment);
  THAW_CO_TRY(const std::vector<control::EnvSource> secrets,
              environment_from(scope_of(cx, who), request.secret_ids()));
  guest.environment.insert(guest.environment.end(), secrets.begin(), secrets.end());
  guest.time_limit = std::chrono::seconds(request.timeout_secs());
  guest.keeps = {kept(request.stdout_output()), kept(request.stderr_output())};
  pb::ContainerExecResponse reply;
  reply.set_exec_id(box->record.container.str() + separator + guest.id);
  THAW_CO_TRY_VOID(co_await cx.parts.boxes.start_process(box, std::move(guest)));
  co_return reply;
}

// The number of a batch is the place in the stream behind it.
Task<void> get_output(Context& cx, net::GrpcCall& call, pb::ContainerExecGetOutputRequest request,
                      net::Sink<pb::RuntimeOutputBatch> sink) {
  THAW_CO_TRY(const FoundProcess found, find_process(cx, call, request.exec_id()));
  const BoxProcessPtr process = found.process;
  const bool of_errors = request.file_descriptor() == pb::FILE_DESCRIPTOR_STDERR;
  KeptOutput& output = of_errors ? process->error() : process->out();
  const Instant until = poll_deadline(request.timeout(), longest_wait);
  std::uint64_t place = request.last_batch_index();
  while (true) {
    THAW_CO_TRY(KeptOutput::Piece piece,
                co_await (request.get_raw_bytes() ? output.read(place, piece_bytes, until)
                                                  : output.read_text(place, piece_bytes, until)));
    pb::RuntimeOutputBatch batch;
    if (piece.is_end) {
      THAW_CO_TRY(const bool ended, co_await process->wait_for_end(until));
      if (ended) {
        batch.set_batch_index(place);
        batch.set_exit_code(process->end() ? process->end()->code : 128);
        THAW_CO_TRY_VOID(co_await sink.write(batch));
      }
      co_return ok();
    }
    if (piece.bytes.empty()) {
      co_return ok();  // it asks again
    }
    place = piece.offset + piece.bytes.size();
    batch.set_batch_index(place);
    pb::RuntimeOutputMessage* item = batch.add_items();
    item->set_file_descriptor(request.file_descriptor());
    if (request.get_raw_bytes()) {
      item->set_message_bytes(std::move(piece.bytes));
    } else {
      item->set_message(codec::valid_utf8(std::move(piece.bytes)));
    }
    THAW_CO_TRY_VOID(co_await sink.write(batch));
  }
}

Task<Empty> put_input(Context& cx, net::GrpcCall& call, pb::ContainerExecPutInputRequest request) {
  THAW_CO_TRY(const FoundProcess found, find_process(cx, call, request.exec_id()));
  const BoxProcessPtr process = found.process;
  THAW_CO_TRY_VOID(co_await process->append(request.input().message_index(),
                                            request.input().message(), request.input().eof()));
  co_return Empty();
}

Task<pb::ContainerExecWaitResponse> wait(Context& cx, net::GrpcCall& call,
                                         pb::ContainerExecWaitRequest request) {
  THAW_CO_TRY(const FoundProcess found, find_process(cx, call, request.exec_id()));
  const BoxProcessPtr process = found.process;
  THAW_CO_TRY(const bool ended,
              co_await process->wait_for_end(poll_deadline(request.timeout(), longest_wait)));
  pb::ContainerExecWaitResponse reply;
  reply.set_completed(ended);
  if (ended) {
    reply.set_exit_code(process->end() ? process->end()->code : 128);
  }
  co_return reply;
}

}  // namespace

void add_container_exec_rpcs(net::GrpcTable& table, Context& cx) {
  add_once(table, cx, "ContainerExec", exec);
  add_stream(table, cx, "ContainerExecGetOutput", get_output);
  add(table, cx, "ContainerExecPutInput", put_input);
  add(table, cx, "ContainerExecWait", wait);
}

}  // namespace thaw::dialect::modal
