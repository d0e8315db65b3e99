// SPDX-License-Identifier: Apache-2.0
//
// A target without libFuzzer: every file of its corpus, then inputs that are made of them by a
// seed, for so much processor time. Input number n depends on the corpus, the seed and n alone, so
// that it comes again on any machine, however fast:
//
// A file whose name begins with "slow" is run, and nothing is made of it.
//
//   NAME_fuzz [--seed S] [--only N] FILE|FOLDER…      FUZZ_SECONDS=60, FUZZ_SEED=7
//
// An input that breaks the target, takes seconds or gigabytes is kept in a file, which is named.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <random>
#include <vector>

#include "tests/fuzz/target.h"

namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t usual_seed = 1;
constexpr double usual_seconds = 2;
// Of processor time, for one input: none needs a hundredth of it.
constexpr int longest_input_s = 10;
constexpr rlim_t most_memory = rlim_t{2} << 30;

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define THAW_FUZZ_SHADOW 1
#endif
#endif

// What the handlers of signals tell of the input that runs.
char kept_in[1024];
char farewell[4096];
std::string_view now_running;
volatile std::sig_atomic_t seconds_of_input = 0;

void tell_and_end(int signal) {
  const int file = ::open(kept_in, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  [[maybe_unused]] auto written = ::write(file, now_running.data(), now_running.size());
  ::close(file);
  written = ::write(2, farewell, std::strlen(farewell));
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}

void count_second(int) {
  seconds_of_input = seconds_of_input + 1;
  if (seconds_of_input > longest_input_s) {
    constexpr std::string_view why = "fuzz: the input takes too long\n";
    [[maybe_unused]] const auto written = ::write(2, why.data(), why.size());
    tell_and_end(SIGABRT);
  }
}

void watch() {
  static char stack[64u << 10];  // also of a recursion without end something is told
  const stack_t other{stack, 0, sizeof stack};
  ::sigaltstack(&other, nullptr);
  struct sigaction action {};
  action.sa_flags = SA_ONSTACK | SA_NODEFER;
  action.sa_handler = tell_and_end;
  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP}) {
    ::sigaction(signal, &action, nullptr);
  }
  action.sa_handler = count_second;
  action.sa_flags = SA_ONSTACK | SA_RESTART;
  ::sigaction(SIGPROF, &action, nullptr);
  const itimerval every_second{{1, 0}, {1, 0}};
  ::setitimer(ITIMER_PROF, &every_second, nullptr);
#ifndef THAW_FUZZ_SHADOW
  const rlimit memory{most_memory, most_memory};
  ::setrlimit(RLIMIT_AS, &memory);
#endif
}

double processor_seconds() {
  timespec used{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9;
}

struct Source {
  std::string name;
  std::string bytes;

  bool is_slow() const { return fs::path(name).filename().string().starts_with("slow"); }
};

std::vector<Source> read_corpus(const std::vector<std::string>& places) {
  std::vector<std::string> files;
  for (const std::string& place : places) {
    if (!fs::is_directory(place)) {
      files.push_back(place);
      continue;
    }
    for (const auto& entry : fs::directory_iterator(place)) {
      files.push_back(entry.path().string());
    }
  }
  std::sort(files.begin(), files.end());
  std::vector<Source> corpus;
  for (const std::string& file : files) {
    std::ifstream in(file, std::ios::binary);
    corpus.push_back({file, std::string((std::istreambuf_iterator<char>(in)), {})});
    if (in.bad() || !in.is_open()) {
      std::fprintf(stderr, "fuzz: cannot read %s\n", file.c_str());
      std::exit(2);
    }
  }
  return corpus;
}

// The changes of one input. The distributions of the standard library differ between
// implementations; the generator does not.
class Changes {
 public:
  Changes(std::uint64_t seed, std::uint64_t number) : random_(seed * 0x9e3779b97f4a7c15 + number) {}

  std::string input(const std::vector<Source>& corpus) {
    std::string bytes = corpus.empty() ? std::string() : some(corpus).bytes;
    for (std::uint64_t n = std::uint64_t{1} << below(4); n > 0; --n) {
      change(bytes, corpus);
    }
    bytes.resize(std::min(bytes.size(), thaw::fuzz::most_input_bytes));
    return bytes;
  }

 private:
  std::uint64_t below(std::uint64_t bound) { return bound == 0 ? 0 : random_() % bound; }
  const Source& some(const std::vector<Source>& corpus) { return corpus[below(corpus.size())]; }
  char letter() {
    constexpr std::string_view usual = "\0\n\r\t \"#$%&'()*+,-./0129:;<=>?@AZ[\\]^_`az{|}~\x7f\xff";
    return below(2) == 0 ? static_cast<char>(below(256)) : usual[below(usual.size())];
  }
  // A part of it: where it begins, and how long it is; short ones are more likely.
  std::pair<std::size_t, std::size_t> part(const std::string& bytes) {
    const std::size_t at = below(bytes.size() + 1);
    return {at, below(std::min<std::uint64_t>(bytes.size() - at, 1u << below(12)) + 1)};
  }

  void change(std::string& bytes, const std::vector<Source>& corpus) {
    const auto [at, size] = part(bytes);
    switch (below(9)) {
      case 0:
        if (at < bytes.size()) {
          bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
        }
        break;
      case 1:
        if (at < bytes.size()) {
          bytes[at] = letter();
        }
        break;
      case 2: bytes.insert(at, 1 + below(4), letter()); break;
      case 3: bytes.erase(at, size); break;
      case 4: bytes.insert(below(bytes.size() + 1), bytes.substr(at, size)); break;
      case 5:
        if (!corpus.empty()) {
          const std::string& other = some(corpus).bytes;
          const auto [from, count] = part(other);
          bytes.replace(at, below(2) == 0 ? size : 0, other.substr(from, count));
        }
        break;
      case 6: put_number(bytes, at); break;
      case 7: bytes.replace(at, size, digits()); break;
      default: {  // many times the same
        const std::string piece = bytes.substr(at, std::min<std::size_t>(size, 16));
        for (std::uint64_t n = below(200); n > 0; --n) {
          bytes.insert(at, piece);
        }
      }
    }
  }
  std::uint64_t odd_number() {
    const std::uint64_t power = std::uint64_t{1} << below(64);
    return below(3) == 0 ? below(300) : power - 1 + below(3);
  }
  void put_number(std::string& bytes, std::size_t at) {
    std::uint64_t value = odd_number();
    const std::size_t width = std::size_t{1} << below(4);
    const bool is_big_endian = below(2) == 0;
    for (std::size_t i = 0; i < width && at + i < bytes.size(); ++i, value >>= 8) {
      bytes[at + (is_big_endian ? width - 1 - i : i) % (bytes.size() - at)] =
          static_cast<char>(value);
    }
  }
  std::string digits() { return (below(4) == 0 ? "-" : "") + std::to_string(odd_number()); }

  std::mt19937_64 random_;
};

void run_one(const std::string& bytes, const std::string& what) {
  std::snprintf(farewell, sizeof farewell, "fuzz: broken by %s; the input is in %s\n", what.c_str(),
                kept_in);
  now_running = bytes;
  seconds_of_input = 0;
  thaw::fuzz::run(bytes);
}

std::uint64_t number_of(const char* name, const char* text) {
  char* end = nullptr;
  const std::uint64_t number = std::strtoull(text, &end, 10);
  if (*text == '\0' || *end != '\0') {
    std::fprintf(stderr, "fuzz: %s takes a number, not '%s'\n", name, text);
    std::exit(2);
  }
  return number;
}

}  // namespace

int main(int count, char** arguments) {
  const std::string name = fs::path(arguments[0]).filename().string();
  const char* seconds_text = std::getenv("FUZZ_SECONDS");
  const double seconds = seconds_text == nullptr ? usual_seconds : std::atof(seconds_text);
  const char* seed_text = std::getenv("FUZZ_SEED");
  std::uint64_t seed = seed_text == nullptr ? usual_seed : number_of("FUZZ_SEED", seed_text);
  std::optional<std::uint64_t> only;
  std::vector<std::string> places;
  for (int i = 1; i < count; ++i) {
    const std::string_view word = arguments[i];
    const bool is_number = word == "--seed" || word == "--only";
    if (is_number && i + 1 < count) {
      ++i;
      (word == "--seed" ? seed : only.emplace()) = number_of(arguments[i - 1], arguments[i]);
    } else if (word.starts_with('-')) {
      std::fprintf(stderr, "usage: %s [--seed S] [--only N] FILE|FOLDER...\n", arguments[0]);
      return 2;
    } else {
      places.emplace_back(word);
    }
  }
  std::vector<Source> corpus = read_corpus(places);
  std::snprintf(kept_in, sizeof kept_in, "%s/crash-%s-%d", fs::current_path().c_str(), name.c_str(),
                static_cast<int>(::getpid()));
  std::string again;
  for (const std::string& place : places) {
    again += " " + place;
  }
  watch();
  for (const Source& source : corpus) {
    if (!only) {
      run_one(source.bytes, source.name);
    }
  }
  const std::size_t files = corpus.size();
  std::erase_if(corpus, [](const Source& source) { return source.is_slow(); });
  std::uint64_t number = only.value_or(0);
  double slowest = 0;
  std::uint64_t slowest_number = 0;
  double now = processor_seconds();
  do {
    const std::string bytes = Changes(seed, number).input(corpus);
    run_one(bytes, arguments[0] + (" --seed " + std::to_string(seed)) + " --only " +
                       std::to_string(number) + again);
    const double before = std::exchange(now, processor_seconds());
    if (now - before > slowest) {
      slowest = now - before;
      slowest_number = number;
    }
    ++number;
  } while (!only && now < seconds);
  std::printf(
      "%s: seed %llu: %zu files and %llu inputs in %.1f s of the processor; the slowest, "
      "number %llu, took %.1f ms\n",
      name.c_str(), static_cast<unsigned long long>(seed), files,
      static_cast<unsigned long long>(only ? 1 : number), now,
      static_cast<unsigned long long>(slowest_number), slowest * 1e3);
  return 0;
}
