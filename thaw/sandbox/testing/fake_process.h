// SPDX-License-Identifier: Apache-2.0
//
// FakeProcess: a process that prints and ends as a test says, and keeps what it is given to read.
// What a test does to it, it does by the shared State, which outlives it.
#pragma once

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "thaw/async/event.h"
#include "thaw/sandbox/process.h"

namespace thaw::sandbox::testing {

class FakeProcess final : public Process {
 public:
  struct State {
    ProcessSpec spec;
    std::deque<std::string> out;
    std::deque<std::string> error;
    bool out_is_open = true;
    std::string input;
    bool input_is_closed = false;
    std::size_t takes_input = SIZE_MAX;  // bytes of it; then whoever writes waits
    std::optional<ProcessEnd> end;
    std::vector<int> signals;
    std::string mark;
    std::string journal;  // of its standard output: a name
    async::Event changed;

    void print(std::string text) {
      out.push_back(std::move(text));
      changed.notify_all();
    }
    // With its streams, as when it has left nobody behind.
    void exit(int code, int signal = 0) {
      end = ProcessEnd{code, signal, false};
      out_is_open = false;
      changed.notify_all();
    }
    void die_with_sandbox() {
      if (!end) {
        end = ProcessEnd{128 + SIGKILL, SIGKILL, true};
      }
      out_is_open = false;
      changed.notify_all();
    }
  };

  explicit FakeProcess(std::shared_ptr<State> state) : state_(std::move(state)) {}

  async::Task<std::optional<std::string>> read_stdout() override { return read(state_->out); }
  async::Task<std::optional<std::string>> read_stderr() override { return read(state_->error); }
  async::Task<void> write(const std::string& bytes, std::size_t& written) override {
    while (written < bytes.size()) {
      if (state_->end || state_->input_is_closed) {
        co_return Error::unavailable("nobody reads it any more");
      }
      const std::size_t room = state_->takes_input - state_->input.size();
      const std::size_t size = std::min(room, bytes.size() - written);
      state_->input.append(bytes, written, size);
      written += size;
      if (size == 0) {
        THAW_CO_TRY([[maybe_unused]] const bool n, co_await state_->changed.wait(Instant::max()));
      }
    }
    co_return ok();
  }
  void mark(std::string bytes) override { state_->mark = std::move(bytes); }
  void journal(std::string of_stdout, std::string) override {
    state_->journal = std::move(of_stdout);
  }
  void close_input() override { state_->input_is_closed = true; }
  async::Task<void> signal(int number) override {
    state_->signals.push_back(number);
    if (number == SIGKILL) {
      state_->exit(128 + SIGKILL, SIGKILL);
    }
    co_return ok();
  }
  async::Task<ProcessEnd> wait() override {
    while (!state_->end) {
      THAW_CO_TRY([[maybe_unused]] const bool n, co_await state_->changed.wait(Instant::max()));
    }
    co_return *state_->end;
  }

 private:
  async::Task<std::optional<std::string>> read(std::deque<std::string>& from) {
    while (from.empty() && state_->out_is_open) {
      THAW_CO_TRY([[maybe_unused]] const bool n, co_await state_->changed.wait(Instant::max()));
    }
    if (from.empty()) {
      co_return std::nullopt;
    }
    std::string piece = std::move(from.front());
    from.pop_front();
    co_return std::optional(std::move(piece));
  }

  std::shared_ptr<State> state_;
};

}  // namespace thaw::sandbox::testing
