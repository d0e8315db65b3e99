// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/template.h"

#include <fcntl.h>

#include <cerrno>

namespace thaw::sandbox::detail {

namespace {

class RunningTemplate final : public Template {
 public:
  RunningTemplate(std::shared_ptr<ControlLine> line, std::unique_ptr<Sandbox> sandbox,
                  os::Fd control, async::FdWatch watch)
      : line_(std::move(line)),
        sandbox_(std::move(sandbox)),
        control_(std::move(control)),
        watch_(std::move(watch)) {}

  Sandbox& sandbox() override { return *sandbox_; }

  async::Task<std::optional<std::string>> read_message() override {
    while (true) {
      os::Message message;
      THAW_CO_TRY(const auto received, os::receive_message(control_.get(), message));
      if (received == os::Transfer::end) {
        co_return std::nullopt;
      }
      if (received == os::Transfer::done) {
        co_return std::optional(std::move(message.bytes));
      }
      THAW_CO_TRY_VOID(co_await watch_.readable());
    }
  }

  async::Task<std::size_t> count_spares() override {
    std::string request = Writer(Kind::count_spares).text(sandbox_->id().str()).bytes();
    THAW_CO_TRY(const std::string reply, co_await line_->ask(std::move(request)));
    Reader reader(reply);
    (void)reader.kind();
    co_return reader.number();
  }

  void keep_spares(std::size_t count) override {
    line_->tell(Writer(Kind::keep_spares).text(sandbox_->id().str()).number(count).bytes());
  }

 private:
  std::shared_ptr<ControlLine> line_;
  std::unique_ptr<Sandbox> sandbox_;
  os::Fd control_;
  async::FdWatch watch_;
};

}  // namespace

async::Task<std::unique_ptr<Template>> start_template(std::shared_ptr<ControlLine> line,
                                                      os::Cgroup cgroup, SandboxSpec spec) {
  THAW_CO_TRY(auto pair, os::make_message_pair());
  const int flags = ::fcntl(pair.first.get(), F_GETFL);
  if (flags < 0 || ::fcntl(pair.first.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
    co_return Error::from_errno(errno, "make a descriptor non-blocking");
  }
  THAW_CO_TRY(async::FdWatch watch, async::FdWatch::make(line->loop(), pair.first.get()));
  spec.profile = Profile::templated;
  const TemplateControl control{pair.second.get(), pair.first.get()};
  THAW_CO_TRY(auto sandbox,
              co_await RunningSandbox::start(line, std::move(cgroup), std::move(spec), control));
  co_return std::unique_ptr<Template>(std::make_unique<RunningTemplate>(
      std::move(line), std::move(sandbox), std::move(pair.first), std::move(watch)));
}

}  // namespace thaw::sandbox::detail
