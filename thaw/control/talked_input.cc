// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/talked_input.h"

#include <algorithm>
#include <utility>

namespace thaw::control {

namespace {

constexpr std::size_t piece_bytes = 256u << 10;
constexpr std::size_t most_untold = 8u << 20;  // then the server is not read until some is told
constexpr Duration shortest_busy_pause = 20ms;
constexpr Duration longest_busy_pause = 500ms;
constexpr Duration leaves_within = 10s;
constexpr Duration leave_pause = 200ms;
constexpr std::size_t most_leave_bytes = 64u << 10;

}  // namespace

// The rest of the payload goes to the server, and what it says goes to the conversation.
class TalkedInput::Bodies final : public worker::Bodies {
 public:
  Bodies(TalkedInput& input, std::unique_ptr<store::BlobStore::Reader> rest)
      : input_(input), rest_(std::move(rest)) {}
  std::uint64_t request_bytes() const override { return rest_ ? rest_->size() : 0; }
  async::Task<std::string> next() override {
    if (!rest_) {
      co_return std::string();
    }
    co_return co_await rest_->read(piece_bytes);
  }
  async::Task<void> take(std::string piece) override {
    THAW_CO_TRY(const std::string told, input_.conversation_->take(piece));
    input_.untold_ += told;
    input_.changed_.notify_all();
    while (input_.untold_.size() > most_untold) {
      THAW_CO_TRY([[maybe_unused]] const bool n, co_await input_.changed_.wait(Instant::max()));
    }
    co_return ok();
  }

 private:
  TalkedInput& input_;
  std::unique_ptr<store::BlobStore::Reader> rest_;
};

TalkedInput::TalkedInput(async::Loop& loop, queue::CallQueue& queue, Container& container,
                         queue::LeasedInput input, std::unique_ptr<Conversation> conversation)
    : loop_(loop),
      queue_(queue),
      container_(container),
      input_(std::move(input)),
      conversation_(std::move(conversation)) {}

async::Task<Reply> TalkedInput::run() {
  async::TaskGroup teller(loop_);
  teller.start("what a server says", tell(*this));
  Duration pause{};  // what it says may be no more than that it is to be asked otherwise
  Result<Reply> reply = co_await ask();
  const Instant begun = monotonic_now();
  while (reply && reply->server == Reply::Server::busy && !is_left_) {
    if (monotonic_now() - begun >= reply->busy_for) {
      reply->server = Reply::Server::useless;
      break;
    }
    if (pause > Duration::zero()) {
      if (const Result<void> waited = co_await async::sleep_for(pause); !waited) {
        reply = waited.error();
        break;
      }
    }
    pause = std::clamp(pause * 2, shortest_busy_pause, longest_busy_pause);
    reply = co_await ask();
  }
  is_ended_ = true;
  is_over_ = true;
  changed_.notify_all();
  if (reply) {
    // What it has said comes before how it has ended.
    (void)co_await teller.join(Instant::max());
  }
  co_await async::forget_cancellation();
  THAW_CO_TRY_VOID(co_await teller.stop());
  co_return reply;
}

async::Task<Reply> TalkedInput::ask() {
  THAW_CO_TRY(codec::HttpRequestMessage request, conversation_->request());
  THAW_CO_TRY(auto rest, queue_.payloads().open_rest(input_.workspace, input_.payload));
  Bodies bodies(*this, std::move(rest));
  const auto answer =
      co_await container_.running->server()->ask_in_pieces(std::move(request), bodies);
  if (!answer && answer.error().code() == Code::cancelled) {
    co_return answer.error();
  }
  co_return co_await conversation_->end(answer ? Result<int>(answer->status)
                                               : Result<int>(answer.error()));
}

async::Task<void> TalkedInput::tell(TalkedInput& self) {
  while (true) {
    if (self.untold_.empty()) {
      if (self.is_ended_) {
        co_return ok();
      }
      THAW_CO_TRY([[maybe_unused]] const bool n, co_await self.changed_.wait(Instant::max()));
      continue;
    }
    model::LogEntry entry;
    entry.kind = model::LogEntry::Kind::chunk;
    entry.input = self.input_.input;
    entry.index = self.input_.index;
    entry.container = self.container_.id;
    entry.payload.bytes = std::exchange(self.untold_, {});
    entry.payload.content_type = self.conversation_->piece_type();
    self.changed_.notify_all();
    const auto told = co_await self.queue_.append(self.input_.call, std::move(entry));
    if (!told && told.error().code() == Code::cancelled) {
      co_return told.error();
    }
    // A call keeps so many pieces and no more; how it ends is told whole all the same.
  }
}

async::Task<bool> TalkedInput::leave() {
  is_left_ = true;
  const Instant until = monotonic_now() + leaves_within;
  bool is_told = false;
  while (!is_over_ && monotonic_now() < until) {
    if (std::optional<codec::HttpRequestMessage> request = conversation_->leave();
        request && !is_told) {
      const auto answer =
          co_await container_.running->server()->ask(std::move(*request), most_leave_bytes, until);
      if (!answer && answer.error().code() == Code::cancelled) {
        co_return answer.error();
      }
      // It may not know of it yet.
      is_told = answer && answer->status < 300;
    }
    const Instant next = is_told ? until : std::min(until, monotonic_now() + leave_pause);
    if (!is_over_) {
      THAW_CO_TRY([[maybe_unused]] const bool n, co_await changed_.wait(next));
    }
  }
  co_return is_over_;
}

}  // namespace thaw::control
