// SPDX-License-Identifier: Apache-2.0
//
// What a container writes into the pipe of its start report, in pieces. A second reader, which has
// all of it at once, understands the same; what has no sensible line changes nothing. The first
// byte says how much comes at a time.
#include "thaw/worker/start_report.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>

#include "tests/fuzz/target.h"
#include "thaw/os/fd.h"

namespace thaw::fuzz {

namespace {

struct Said {
  Instant started{};
  bool is_restorable = false;
  std::string modules;
};

// Lines that end; each is short enough, as inputs are.
Said understand(std::string_view text, Instant now) {
  Said said;
  for (std::size_t end = 0; (end = text.find('\n')) != std::string_view::npos;
       text.remove_prefix(end + 1)) {
    std::string line(text.substr(0, end));
    if (line.starts_with("modules ")) {
      said.modules = line.substr(8);
      continue;
    }
    const bool is_restorable = line.ends_with(" restorable");
    line.resize(line.size() - (is_restorable ? 11 : 0));
    const bool is_number = !line.empty() && line.size() < 20 &&
                           line.find_first_not_of("0123456789") == std::string::npos;
    const std::int64_t moment = is_number ? std::strtoll(line.c_str(), nullptr, 10) : 0;
    // strtoll gives the largest number for what does not fit, which is in the future.
    if (moment > 0 && Instant(Duration(moment)) <= now) {
      said.started = said.started == Instant{} ? Instant(Duration(moment)) : said.started;
      said.is_restorable = said.is_restorable || is_restorable;
    }
  }
  return said;
}

const std::string& pipe_path() {
  static const std::string path = [] {
    const char* folder = ::getenv("TMPDIR");
    std::string made = std::string(folder == nullptr ? "/tmp" : folder) + "/thaw-fuzz-XXXXXX";
    expect(::mkdtemp(made.data()) != nullptr, "there is a temporary folder");
    static const std::string kept = made;
    std::atexit([] { ::rmdir(kept.c_str()); });
    return made + "/start";
  }();
  return path;
}

}  // namespace

void run(std::string_view input) {
  Bytes bytes(input.substr(0, most_input_bytes));
  const std::size_t piece = 1 + 37 * std::size_t{bytes.byte()};
  const std::string_view text = bytes.rest();
  auto report = worker::StartReport::make(pipe_path());
  expect(report.has_value(), "there is a pipe");
  const os::Fd writer(::open(pipe_path().c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  report->remove();
  expect(writer.valid(), "a report has a reader");
  for (std::size_t at = 0; at < text.size(); at += piece) {
    const std::string_view part = text.substr(at, piece);
    expect(::write(writer.get(), part.data(), part.size()) == static_cast<ssize_t>(part.size()),
           "a reader takes what comes");
    (void)report->started();
  }
  const Said said = understand(text, monotonic_now());
  expect(report->started() == said.started, "a first moment is what the first line says");
  expect(report->is_restorable() == said.is_restorable, "restorable is who says so");
  expect(report->modules() == said.modules, "the last modules count");
  report->forget();
  expect(report->started() == Instant{} && !report->is_restorable() && report->modules().empty(),
         "what is forgotten is not said again");
  expect(::write(writer.get(), "5\n", 2) == 2 && report->started() == Instant(Duration(5)),
         "and the next start is heard from its first line on");
}

}  // namespace thaw::fuzz
