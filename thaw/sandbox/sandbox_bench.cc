// SPDX-License-Identifier: Apache-2.0
//
// From the wish for a sandbox to the first instruction of its program, against a plain fork and
// exec of the same static program, in turns so that both see the same machine.
//   sandbox_bench [--benchmark_out=FILE]     rows of p50 and p99 as a table and as JSON
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/sandbox/sandbox.h"

using namespace thaw;
using namespace thaw::sandbox;

namespace {

constexpr int rounds = 150;
constexpr int idle_rounds = 15;

Instant parse_instant(const std::string& text) { return Instant(Duration(std::stoll(text))); }

double plain_start_ms() {
  int ends[2];
  if (::pipe(ends) != 0) {
    std::exit(1);
  }
  const Instant before = monotonic_now();
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::dup2(ends[1], 1);
    ::execl(THAW_SANDBOX_PROBE, "probe", "now", nullptr);
    ::_exit(127);
  }
  ::close(ends[1]);
  char text[64] = {};
  const ssize_t n = ::read(ends[0], text, sizeof text - 1);
  ::close(ends[0]);
  ::waitpid(pid, nullptr, 0);
  return n > 0 ? to_ms(parse_instant(text) - before) : 0;
}

struct Sample {
  double start_ms = 0;   // to the first instruction
  double remove_ms = 0;  // from the end of the program until nothing is left
};

async::Task<Sample> sandbox_start(Spawner& spawner, SandboxSpec spec) {
  const Instant before = monotonic_now();
  THAW_CO_TRY(const auto sandbox, co_await spawner.start(std::move(spec)));
  THAW_CO_TRY(const auto text, co_await sandbox->read_stdout());
  Sample sample;
  sample.start_ms = to_ms(parse_instant(text.value_or("0")) - before);
  THAW_CO_TRY([[maybe_unused]] const ExitStatus status, co_await sandbox->wait());
  const Instant ended = monotonic_now();
  THAW_CO_TRY_VOID(co_await sandbox->remove());
  sample.remove_ms = to_ms(monotonic_now() - ended);
  co_return sample;
}

template <class T>
T must(Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "sandbox_bench: %s\n", result.error().to_string().c_str());
    std::exit(1);
  }
  if constexpr (!std::is_void_v<T>) {
    return std::move(*result);
  }
}

struct Row {
  std::string what;
  std::vector<double> ms;
  const std::vector<double>* baseline = nullptr;
};

double percentile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1,
                         static_cast<std::size_t>(share * static_cast<double>(values.size())))];
}

void report(const std::vector<Row>& rows, const std::string& path) {
  std::filesystem::create_directories(std::filesystem::absolute(path).parent_path());
  std::ofstream file(path);
  file << "{\"rows\": [";
  std::printf("  %-52s %8s %8s %8s %6s\n", "what", "p50 ms", "p99 ms", "min ms", "ratio");
  for (const Row& row : rows) {
    const double p50 = percentile(row.ms, 0.5);
    const double p99 = percentile(row.ms, 0.99);
    const double base = row.baseline != nullptr ? percentile(*row.baseline, 0.5) : 0;
    std::printf("  %-52s %8.2f %8.2f %8.2f", row.what.c_str(), p50, p99, percentile(row.ms, 0));
    file << (&row == rows.data() ? "\n" : ",\n") << "  {\"what\": \"" << row.what
         << "\", \"unit\": \"ms\", \"p50\": " << p50 << ", \"p99\": " << p99;
    if (base > 0) {
      std::printf(" %6.1f", p50 / base);
      file << ", \"baseline\": " << base << ", \"ratio\": " << p50 / base;
    }
    std::printf("\n");
    file << "}";
  }
  file << "\n]}\n";
}

struct Folder {
  Folder() {
    char name[] = "/tmp/thaw-bench-XXXXXX";
    path = ::mkdtemp(name);
    std::filesystem::create_directories(path + "/root/bin");
    std::filesystem::copy_file(THAW_SANDBOX_PROBE, path + "/root/bin/probe");
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string path;
};

}  // namespace

int main(int argc, char** argv) {
  if (is_to_be_spawner(argc, argv)) {
    return run_as_spawner();
  }
  std::string out = "build/bench/sandbox.json";
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const std::string prefix = "--benchmark_out=";
    out = argument.starts_with(prefix) ? argument.substr(prefix.size()) : out;
  }
  if (::geteuid() != 0) {
    std::puts("sandbox_bench: skipped: sandboxes need root");
    return 0;
  }
  const Folder folder;
  SpawnerOptions options;
  options.instance = "b" + std::to_string(::getpid());
  options.folder = folder.path + "/sandboxes";
  options.bridge_address = "auto";
  // As on a machine where sandboxes cannot have user ids of their own.
  const char* ids = std::getenv("THAW_TEST_OWN_IDS");
  if (ids != nullptr && std::string_view(ids) == "off") {
    options.own_ids = SpawnerOptions::OwnIds::off;
  }
  const auto spawner = must(Spawner::fork(options));
  async::Pool pool(1);
  async::Loop loop;
  must(spawner->attach(loop, pool));
  must(loop.run_task(spawner->prepare()));

  int count = 0;
  const auto start = [&](SandboxSpec::Network network) {
    SandboxSpec spec;
    spec.id = model::ContainerId("ta-" + std::to_string(++count));
    spec.layers = {folder.path + "/root"};
    spec.argv = {"/bin/probe", "now"};
    spec.env = {"PATH=/bin"};
    spec.limits.memory_bytes = 256 << 20;
    spec.limits.cpu_millis = 1000;
    spec.network = network;
    return must(loop.run_task(sandbox_start(*spawner, std::move(spec))));
  };
  std::vector<double> plain, none, bridge, removal, idle;
  for (int i = 0; i < rounds; ++i) {
    plain.push_back(plain_start_ms());
    none.push_back(start(SandboxSpec::Network::none).start_ms);
    const Sample sample = start(SandboxSpec::Network::bridge);
    bridge.push_back(sample.start_ms);
    removal.push_back(sample.remove_ms);
  }
  for (int i = 0; i < idle_rounds; ++i) {
    ::usleep(300'000);
    idle.push_back(start(SandboxSpec::Network::bridge).start_ms);
  }
  must(loop.run_task(spawner->shut_down()));
  report({{"plain fork and exec, to the first instruction", plain},
          {"sandbox with network, to the first instruction", bridge, &plain},
          {"  the same after 300 ms without a start", idle, &plain},
          {"sandbox without network, to the first instruction", none, &plain},
          {"removal, from the end of the program", removal, &plain}},
         out);
  return 0;
}
