// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/start_report.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>

namespace thaw::worker {

namespace {

constexpr std::string_view modules_word = "modules ";
// A pipe that is written to all the time is left alone after so many times its size.
constexpr int most_rounds = 4;

}  // namespace

Result<StartReport> StartReport::make(std::string path, InsideUsers users) {
  if (::mkfifo(path.c_str(), 0600) != 0 ||
      (users == InsideUsers::all && ::chmod(path.c_str(), 0622) != 0)) {
    return Error::from_errno(errno, "make the pipe " + path);
  }
  StartReport report;
  report.path_ = std::move(path);
  // Open both ways, so that a writer finds a reader whenever it comes and the end is never seen.
  report.pipe_ = os::Fd(::open(report.path_.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW));
  if (!report.pipe_.valid()) {
    return Error::from_errno(errno, "open the pipe " + report.path_);
  }
  // A program that ends writes its modules while nobody reads. Where the kernel gives less room,
  // only that line suffers.
  (void)::fcntl(report.pipe_.get(), F_SETPIPE_SZ, static_cast<int>(max_bytes));
  return report;
}

void StartReport::read() {
  std::array<char, 64 * 1024> piece;
  for (std::size_t total = 0; pipe_.valid() && total < most_rounds * max_bytes;) {
    const ssize_t count = ::read(pipe_.get(), piece.data(), piece.size());
    if (count <= 0) {
      return;
    }
    total += static_cast<std::size_t>(count);
    std::string_view rest(piece.data(), static_cast<std::size_t>(count));
    while (!rest.empty()) {
      const std::size_t end = rest.find('\n');
      const std::string_view part = rest.substr(0, end);
      skips_ = skips_ || unfinished_.size() + part.size() > max_bytes;
      if (!skips_) {
        unfinished_ += part;
      }
      if (end == std::string_view::npos) {
        break;
      }
      if (!skips_) {
        take(unfinished_);
      }
      unfinished_.clear();
      skips_ = false;
      rest.remove_prefix(end + 1);
    }
  }
}

void StartReport::take(std::string_view line) {
  if (line.starts_with(modules_word)) {
    modules_ = line.substr(modules_word.size());
    return;
  }
  std::int64_t nanoseconds = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), nanoseconds);
  const std::string_view word(end, static_cast<std::size_t>(line.data() + line.size() - end));
  if (error != std::errc() || nanoseconds <= 0 || !(word.empty() || word == " restorable")) {
    return;
  }
  const Instant moment{Duration(nanoseconds)};
  if (moment <= monotonic_now()) {
    started_ = started_ == Instant{} ? moment : started_;
    is_restorable_ = is_restorable_ || !word.empty();
  }
}

Instant StartReport::started() {
  read();
  return started_;
}

bool StartReport::is_restorable() {
  read();
  return is_restorable_;
}

std::string StartReport::modules() {
  read();
  return modules_;
}

void StartReport::forget() {
  read();
  unfinished_.clear();
  skips_ = false;
  started_ = Instant{};
  is_restorable_ = false;
  modules_.clear();
}

void StartReport::remove() {
  if (!path_.empty()) {
    ::unlink(path_.c_str());
  }
}

}  // namespace thaw::worker
