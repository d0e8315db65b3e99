// SPDX-License-Identifier: Apache-2.0
//
// Simulations of the server's heart, each from its seed:
//   thaw_sim 1 2 3          these seeds
//   thaw_sim --from 1 --for 60   as many as there is time for, in seconds
//   thaw_sim --from 1 --for 60 --first   up to the first at fault
// Each is run; one in ten twice, which must be the same run. A seed at fault is printed, and
// `SIM_TRACE=1 thaw_sim SEED` tells all that happens in it.
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/sim/world.h"
#include "thaw/base/log.h"

namespace {

using thaw::sim::Verdict;
using thaw::sim::World;

std::string scratch() {
  const char* given = std::getenv("TMPDIR");
  std::string pattern = std::string(std::filesystem::exists("/dev/shm") ? "/dev/shm"
                                    : given != nullptr                  ? given
                                                                        : "/tmp") +
                        "/thaw-sim-XXXXXX";
  if (::mkdtemp(pattern.data()) == nullptr) {
    std::perror("thaw_sim: mkdtemp");
    std::exit(2);
  }
  return pattern;
}

// A crash is a fault too: whose seed it was has to be known.
void say_seed(int number) {
  std::signal(number, SIG_DFL);
  std::fprintf(stderr, "seed %llu is at fault: it crashed\n",
               static_cast<unsigned long long>(thaw::sim::current_seed));
  std::raise(number);
}

Verdict simulate(std::uint64_t seed) {
  const std::string folder = scratch();
  Verdict verdict;
  {
    World world(seed, folder);
    verdict = world.run();
  }
  std::filesystem::remove_all(folder);
  return verdict;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::uint64_t> seeds;
  std::uint64_t from = 0;
  double seconds = 0;
  bool only_first = false;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--from") == 0 && i + 1 < argc) {
      from = std::strtoull(argv[++i], nullptr, 10);
    } else if (std::strcmp(argv[i], "--for") == 0 && i + 1 < argc) {
      seconds = std::strtod(argv[++i], nullptr);
    } else if (std::strcmp(argv[i], "--first") == 0) {
      only_first = true;
    } else {
      seeds.push_back(std::strtoull(argv[i], nullptr, 10));
    }
  }
  if (std::getenv("SIM_TRACE") == nullptr) {
    thaw::set_log_level(thaw::LogLevel::none);
  }
  for (const int number : {SIGSEGV, SIGABRT}) {
    std::signal(number, say_seed);
  }
  const auto begun = std::chrono::steady_clock::now();
  const auto spent = [begun] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  };
  std::size_t runs = 0;
  std::size_t at_fault = 0;
  std::size_t calls = 0;
  std::size_t inputs = 0;
  std::size_t containers = 0;
  std::size_t lives = 0;
  std::size_t snapshots = 0;
  std::size_t restores = 0;
  std::size_t stood_by = 0;
  std::size_t had = 0;
  double minutes = 0;
  const auto look_at = [&](std::uint64_t seed) {
    thaw::sim::current_seed = seed;
    const Verdict verdict = simulate(seed);
    ++runs;
    calls += verdict.calls;
    inputs += verdict.inputs;
    containers += verdict.containers;
    lives += verdict.lives;
    snapshots += verdict.snapshots;
    restores += verdict.restores;
    stood_by += verdict.stood_by;
    had += verdict.had;
    minutes += thaw::to_seconds(verdict.simulated) / 60;
    std::vector<std::string> faults = verdict.faults;
    if (seed % 10 == 0) {
      const Verdict again = simulate(seed);
      if (again.digest != verdict.digest || again.heard != verdict.heard) {
        faults.push_back("a second run of the seed is another one");
      }
    }
    if (!faults.empty()) {
      ++at_fault;
      std::printf("seed %llu is at fault:\n", static_cast<unsigned long long>(seed));
      for (const std::string& fault : faults) {
        std::printf("  %s\n", fault.c_str());
      }
      std::fflush(stdout);
    }
  };
  for (const std::uint64_t seed : seeds) {
    look_at(seed);
  }
  for (std::uint64_t seed = from; seconds > 0 && spent() < seconds && !(only_first && at_fault > 0);
       ++seed) {
    look_at(seed);
  }
  std::printf(
      "%zu seeds, %zu at fault; %.0f simulated minutes in %.1f s: %zu lives of a server, "
      "%zu calls, %zu inputs, %zu containers, %zu snapshots, %zu restores, "
      "%zu stood by and %zu were had\n",
      runs, at_fault, minutes, spent(), lives, calls, inputs, containers, snapshots, restores,
      stood_by, had);
  return at_fault == 0 ? 0 : 1;
}
