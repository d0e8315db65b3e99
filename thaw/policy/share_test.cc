// SPDX-License-Identifier: Apache-2.0
#include "thaw/policy/share.h"

#include <doctest/doctest.h>

#include <numeric>
#include <random>

using namespace thaw;
using policy::grant_starts;
using policy::IdleCandidate;
using policy::StartPlaces;
using policy::StartRequest;

namespace {

const Instant noon{std::chrono::hours(12)};
using Counts = std::vector<std::size_t>;

StartRequest wants(std::size_t wanted, std::size_t held = 0, std::size_t starting = 0) {
  return {.workspace = "a", .wanted = wanted, .held = held, .starting = starting, .demanded = noon};
}

}  // namespace

TEST_CASE("one function never takes the last container, another one finds it") {
  CHECK(policy::most_of_one_function(1) == 1);
  CHECK(policy::most_of_one_function(2) == 1);
  CHECK(policy::most_of_one_function(6) == 5);
  CHECK(policy::most_of_one_function(200) == 175);
  const StartPlaces places = {.most = 6, .free = 6, .starting = 100};
  CHECK(grant_starts({wants(10)}, places).starts == Counts{5});
  StartRequest other = wants(3);
  other.held_beside = 5;
  const StartPlaces one_left = {.most = 6, .free = 1, .starting = 100};
  const auto grants = grant_starts({wants(10, 5), other}, one_left);
  CHECK(grants.starts == Counts{0, 1});
  CHECK(grants.short_of == Counts{10, 2});
}

TEST_CASE("a start that waits for something of its own takes no place from others") {
  CHECK(policy::takes_a_place(0s, 0));
  CHECK(policy::takes_a_place(4s, 0));
  CHECK_FALSE(policy::takes_a_place(6s, 0.01));
  CHECK(policy::takes_a_place(60s, 0.5));
}

TEST_CASE("a workspace leaves places to others, where there are others") {
  StartRequest greedy = wants(10);
  StartPlaces places = {.most = 16, .free = 1, .starting = 100, .is_shared = true};
  greedy.held_beside = 15;
  CHECK(grant_starts({greedy}, places).starts == Counts{0});
  places.is_shared = false;
  CHECK(grant_starts({greedy}, places).starts == Counts{1});
  StartRequest of_b = wants(1);
  of_b.workspace = "b";
  places.is_shared = true;
  CHECK(grant_starts({greedy, of_b}, places).starts == Counts{0, 1});
}

TEST_CASE("starts go round among workspaces and functions, then to who waited longest") {
  struct Row {
    const char* name;
    std::vector<StartRequest> requests;
    std::size_t starting;
    Counts starts;
  };
  StartRequest first_of_b = wants(4);
  first_of_b.workspace = "b";
  StartRequest early = wants(1), late = wants(1);
  early.demanded = noon - 1s;
  StartRequest kept = wants(4);
  kept.to_keep = 4;
  const std::vector<Row> rows = {
      {"one alone leaves a place", {wants(20)}, 8, {7}},
      {"two share", {wants(20), wants(20)}, 8, {4, 3}},
      {"a first call beside a map whose starts fill all but one",
       {wants(20, 7, 7), wants(1)},
       1,
       {0, 1}},
      {"who has fewer on their way is first", {wants(20, 5, 5), wants(20)}, 5, {0, 4}},
      {"workspaces before functions", {wants(4), wants(4), first_of_b}, 5, {1, 1, 2}},
      {"the longest wait", {late, early}, 1, {0, 1}},
      {"calls before what is only kept", {kept, wants(4)}, 3, {0, 2}},
      {"nothing free", {wants(3)}, 0, {0}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.name);
    const StartPlaces places = {.most = 200, .free = 200, .starting = row.starting};
    CHECK(grant_starts(row.requests, places).starts == row.starts);
  }
}

TEST_CASE("what is only kept leaves a reserve, and is not short of anything") {
  StartRequest kept = wants(10);
  kept.to_keep = 10;
  const auto grants = grant_starts({kept}, {.most = 16, .free = 4, .starting = 100});
  CHECK(grants.starts == Counts{2});
  CHECK(grants.short_of == Counts{0});
}

IdleCandidate idle_of(const std::string& function, std::size_t held, Duration idle,
                      IdleCandidate::Why why = IdleCandidate::Why::window) {
  return {{function, "a", held, 10}, noon - idle, why};
}

TEST_CASE("idle containers give way: first those in their window, longest idle first") {
  using Why = IdleCandidate::Why;
  const std::vector<IdleCandidate> idle = {idle_of("kept", 5, 90s, Why::kept), idle_of("x", 1, 10s),
                                           idle_of("y", 1, 50s), idle_of("z", 2, 90s, Why::kept)};
  const policy::Holding four{"new", "a", 4, 10};
  const policy::Holding none{"new", "a", 0, 10};
  CHECK(policy::give_way(idle, none, 1, noon) == Counts{2});
  CHECK(policy::give_way(idle, none, 9, noon) == Counts{2, 1, 0});
  CHECK(policy::give_way(idle, four, 9, noon) == Counts{2, 1});
  CHECK(policy::give_way(idle, none, 0, noon) == Counts{});
}

TEST_CASE("what was used just now gives way only to who has less") {
  const std::vector<IdleCandidate> idle = {idle_of("often", 1, 5ms)};
  CHECK(policy::give_way(idle, {"map", "a", 170, 171}, 1, noon) == Counts{});
  CHECK(policy::give_way(idle, {"map", "a", 1, 2}, 1, noon) == Counts{});
  CHECK(policy::give_way(idle, {"new", "a", 0, 1}, 1, noon) == Counts{0});
  // Two of six are enough for who has two: then both have four.
  const std::vector<IdleCandidate> six(5, idle_of("six", 6, 5ms));
  CHECK(policy::give_way(six, {"two", "a", 2, 8}, 5, noon).size() == 2);
}

TEST_CASE("between workspaces many functions are worth no more than one") {
  const std::vector<IdleCandidate> idle = {{{"often", "quiet", 1, 1}, noon - 5ms}};
  CHECK(policy::give_way(idle, {"hundredth", "greedy", 0, 99}, 1, noon) == Counts{});
  CHECK(policy::give_way(idle, {"first", "new", 0, 0}, 1, noon) == Counts{0});
  const std::vector<IdleCandidate> many(20, {{"map", "greedy", 60, 60}, noon - 5ms});
  CHECK(policy::give_way(many, {"x", "quiet", 1, 40}, 20, noon).size() == 10);
}

TEST_CASE("whatever is asked: nothing beyond what is free, and nobody without any is refused") {
  std::mt19937_64 random(11);
  for (int round = 0; round < 3000; ++round) {
    std::vector<StartRequest> requests;
    for (std::size_t n = 1 + random() % 5; n > 0; --n) {
      StartRequest request = wants(random() % 30, random() % 10, 0);
      request.workspace = random() % 2 == 0 ? "a" : "b";
      request.starting = request.held == 0 ? 0 : random() % request.held;
      request.to_keep = random() % 5;
      requests.push_back(request);
    }
    const StartPlaces places = {.most = 64,
                                .free = random() % 65,
                                .starting = random() % 9,
                                .is_shared = random() % 2 == 0};
    const auto grants = grant_starts(requests, places);
    const std::size_t sum = std::accumulate(grants.starts.begin(), grants.starts.end(), 0UL);
    CHECK(sum <= places.free);
    CHECK(sum <= places.starting);
    for (std::size_t i = 0; i < requests.size(); ++i) {
      CHECK(grants.starts[i] <= requests[i].wanted);
      // With room and a place for all, no function with a call and no container is left out.
      if (!places.is_shared && places.free > requests.size() * 8 && places.starting == 8 &&
          requests[i].held == 0 && requests[i].wanted > requests[i].to_keep) {
        CHECK(grants.starts[i] > 0);
      }
    }
    CHECK(grants.starts == grant_starts(requests, places).starts);
  }
}
