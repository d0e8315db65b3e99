// SPDX-License-Identifier: Apache-2.0
// How boxes outlive a server: what is noted of them while they run, how they are left, and how the
// next server takes them over.
#include "thaw/control/kept_boxes.h"

#include <algorithm>
#include <csignal>

#include "thaw/base/log.h"
#include "thaw/control/boxes.h"

namespace thaw::control {

namespace {

constexpr Duration leave_patience = 30s;

std::chrono::microseconds limit_of(const model::Box& box) {
  return std::chrono::duration_cast<std::chrono::microseconds>(box.time_limit);
}

// Its start may have been the last thing before its server died, and is not on disk then.
WallTime begun_at(const model::Box& box) {
  return box.started_at != WallTime{} ? box.started_at : box.created_at;
}

}  // namespace

bool was_due_without_server(const model::Box& box) {
  return begun_at(box) + limit_of(box) <= wall_now();
}

model::Box timed_out_without_server(model::Box box) {
  box.end = model::BoxEnd::timed_out;
  box.exit_code = 128 + SIGKILL;
  box.ended_at = begun_at(box) + limit_of(box);
  box.why = "the sandbox reached its timeout while no server ran";
  return box;
}

void Boxes::remove_journals(const Box& box) const {
  box.main->remove_journals();
  for (const auto& [id, process] : box.processes) {
    process->remove_journals();
  }
  parts_.journals.remove(box.record.container);
}

std::string Boxes::prepare_to_keep(Box& box, BoxProcess& process, ProcessNote note) const {
  if (!parts_.journals.are_kept()) {
    return "";
  }
  note.journal = ++box.journals;
  if (auto place = parts_.journals.place(box.record.container, note.journal)) {
    process.set_journals(*place);
  } else {
    log_warning("what a process prints does not outlive this server",
                {{"box", box.record.id.str()}, {"error", place.error().to_string()}});
  }
  return write_note(note);
}

void Boxes::tell_of_end(const BoxPtr& box) {
  box->main->at_end = [weak = std::weak_ptr<Box>(box)] {
    if (const BoxPtr one = weak.lock()) {
      one->changed.notify_all();
    }
  };
}

async::Task<void> Boxes::keep(BoxPtr box) {
  // What serves its buckets is this server's.
  if (!parts_.journals.are_kept() || !box->spec.buckets.empty()) {
    co_return ok();
  }
  std::string note = write_note(*box);
  THAW_CO_TRY_VOID(co_await box->running->keep(std::move(note), box->end_at));
  box->is_kept = true;
  co_return ok();
}

async::Task<std::size_t> Boxes::leave() {
  is_shutting_down_ = true;
  THAW_CO_TRY_VOID(co_await loops_.stop());
  std::vector<BoxPtr> staying;
  std::vector<BoxPtr> ending;
  for (const BoxPtr& box : living()) {
    const bool stays = box->is_kept && box->running && box->wanted == model::BoxEnd::none;
    (stays ? staying : ending).push_back(box);
  }
  for (const BoxPtr& box : ending) {
    ask_to_end(*box, model::BoxEnd::server_gone, "the server was stopped");
  }
  const Instant latest = monotonic_now() + leave_patience;
  for (const BoxPtr& box : ending) {
    THAW_CO_TRY([[maybe_unused]] const bool ended, co_await wait_for_end(box, latest));
  }
  std::size_t left = 0;
  for (const BoxPtr& box : staying) {
    if (box->record.has_ended() || !box->running) {
      continue;  // by itself, meanwhile
    }
    ++left;
    box->running->leave();
    box->main->leave();
    for (const auto& [id, process] : box->processes) {
      process->leave();
    }
  }
  THAW_CO_TRY_VOID(co_await lives_.stop());
  THAW_CO_TRY_VOID(co_await processes_.stop());
  co_return left;
}

async::Task<void> Boxes::take_over() {
  THAW_CO_TRY(std::vector<worker::KeptContainer> all, co_await parts_.worker.take_kept());
  for (worker::KeptContainer& one : all) {
    const std::string container = one.id.str();
    if (const auto adopted = co_await adopt(std::move(one)); !adopted) {
      log_warning("a box that has outlived its server ends now",
                  {{"container", container}, {"error", adopted.error().to_string()}});
    }
  }
  parts_.journals.keep_only([this](const model::ContainerId& id) { return find(id) != nullptr; });
  co_return ok();
}

async::Task<void> Boxes::adopt(worker::KeptContainer kept) {
  std::optional<model::Box> record;
  // all workspaces: whoever had it
  for (const auto& [id, box] : parts_.catalog.boxes.all()) {
    if (box->container == kept.id && !box->has_ended()) {
      record = *box;
    }
  }
  if (!record) {
    (void)co_await kept.running->remove();
    co_return Error::not_found("there is no record of it that runs");
  }
  const Result<BoxPtr> restored = co_await restore(*record, kept);
  if (restored) {
    lives_.start("a box", look_after(*this, *restored));
    if ((*restored)->spec.probe) {
      processes_.start("a box's probe", probe(*this, *restored));
    }
    co_return ok();
  }
  (void)co_await kept.running->remove();
  model::Box ended = ended_with_server(std::move(*record));
  ended.why = "what was left of it by the last server could not be read";
  (void)co_await parts_.catalog.boxes.put(std::move(ended));
  co_return restored.error();
}

async::Task<BoxPtr> Boxes::restore(model::Box record, worker::KeptContainer& kept) {
  const auto box = std::make_shared<Box>();
  box->record = std::move(record);
  if (box->record.started_at == WallTime{}) {
    box->record.started_at = wall_now();  // the last server did not get to that
  }
  box->spec.record = box->record;
  THAW_CO_TRY_VOID(read_note(kept.note, *box));
  box->created = box->last_use = monotonic_now();
  box->end_at = kept.until;
  THAW_CO_TRY(std::vector<sandbox::KeptProcess> processes, co_await kept.running->kept_processes());
  std::vector<std::pair<BoxProcessPtr, sandbox::KeptProcess>> found;
  for (sandbox::KeptProcess& one : processes) {
    const auto note = read_process_note(one.note);
    if (!note) {
      log_warning("a process of a box is not known any more",
                  {{"box", box->record.id.str()}, {"error", note.error().to_string()}});
      continue;
    }
    const auto process = std::make_shared<BoxProcess>(output_, box->record.workspace, note->keeps);
    process->kill_at = note->kill_at;
    THAW_CO_TRY(const std::string place, parts_.journals.place(kept.id, note->journal));
    process->set_journals(place);
    box->journals = std::max(box->journals, note->journal);
    if (note->id.empty()) {
      box->main = process;
    } else if (box->processes.emplace(note->id, process).second) {
      box->order.push_back(note->id);
      box->active.push_back(process);
    }
    found.emplace_back(process, std::move(one));
  }
  if (!box->main) {
    co_return Error::data_loss("nothing is known of its program");
  }
  tell_of_end(box);
  box->running = std::move(kept.running);
  box->is_kept = true;
  boxes_[box->record.id] = box;
  by_container_[box->record.container] = box->record.id;
  for (auto& [process, one] : found) {
    BoxProcess::resume(process, std::move(one), processes_);
  }
  forget_processes(*box);
  co_return box;
}

}  // namespace thaw::control
