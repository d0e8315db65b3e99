// SPDX-License-Identifier: Apache-2.0
//
// World: one simulation, from a seed: functions and their clients over several lives of a server,
// with what befalls it on the way; then a calm in which everything has to come to rest.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/sim/server.h"
#include "tests/sim/work_order.h"
#include "thaw/codec/ids.h"

namespace thaw::sim {

struct Verdict {
  std::vector<std::string> faults;
  std::uint64_t digest = 0;
  std::uint64_t heard = 0;
  Duration simulated{};
  std::size_t calls = 0;
  std::size_t inputs = 0;
  std::size_t containers = 0;
  std::size_t snapshots = 0;  // that were written whole
  std::size_t restores = 0;   // containers that were started from them
  std::size_t stood_by = 0;   // of these: that did
  std::size_t had = 0;        // and were had by a call
  std::size_t lives = 0;
};

class World {
 public:
  World(std::uint64_t seed, std::string folder);
  Verdict run();

 private:
  struct Client {
    model::CallId id;
    std::size_t function = 0;
    model::Durability durability = model::Durability::memory;
    Instant comes{};
    std::vector<WorkOrder> orders;
    std::vector<model::Callback> callbacks;
    std::size_t first_batch = 0;  // inputs that come with the call; the others follow
    bool is_acknowledged = false;
    std::size_t added = 0;
    std::uint64_t read_to = 0;
    std::map<int, model::LogEntry> results;  // by index
    std::optional<Duration> waits_for;       // a container; then the call is to expire
    Instant expires = Instant::max();
    bool is_once = false;       // it may not be delivered again
    bool is_pinned = false;     // to the version that its function keeps beside the live one
    int retries = 0;            // but so often, as its function says
    bool is_impatient = false;  // cancels the call some time
    bool is_cancelled = false;
    bool is_lost = false;  // in memory only, and the server was killed
    bool is_done = false;
  };
  struct Function {
    model::FunctionSpec spec;
    int version = 0;
    bool is_stopped = false;
    bool has_port = false;
    bool is_server = false;  // takes inputs and passages
    bool keeps_one = false;  // a version beside the live one
    std::string kept;        // that version, once it is there
  };

  void draw();
  void next_version(Function& function);
  enum class Live { no, yes };
  async::Task<void> put_function(Server& server, const Function& function, Live live);
  async::Task<void> publish(Server& server, Function& function);
  async::Task<void> publish_first(Server& server, Function& function);
  model::Target target_of(const Client& client) const;
  void live(std::size_t life, bool is_last);
  static async::Task<void> drive(World& self, Server& server, Client& client);
  static async::Task<void> create(World& self, Server& server, Client& client);
  static async::Task<void> bring_payloads(World& self, Server& server, const Client& client,
                                          std::vector<model::LogEntry>& entries);
  static async::Task<void> read_all(World& self, Server& server, Client& client);
  static async::Task<void> ask_port(World& self, Server& server, std::size_t function);
  static async::Task<void> trouble(World& self, Server& server, Instant until);
  static async::Task<void> stop_functions(World& self, Server& server);
  void judge_standbys(Server& server, std::map<std::string, int>& strays);
  static async::Task<void> invariants(World& self, Server& server);
  void come_to_rest(Server& server);
  void judge_callbacks(Server& server);
  static async::Task<void> judge_callbacks_of(World& self, Server& server, const Client& client);
  model::Payload payload_of(const Client& client, const WorkOrder& order) const;
  void tell_judge(const Client& client, const std::vector<model::InputId>& inputs);
  void judge_results();
  bool may_be(const Client& client, const WorkOrder& order, const model::LogEntry& result) const;

  Dice dice_;
  Dice id_dice_;
  std::string folder_;
  async::VirtualTime time_;
  codec::IdsFrom ids_;
  Judge judge_;
  Receivers receivers_{dice_, judge_};
  ContainerFaults faults_;
  control::FleetOptions options_;
  std::vector<Function> functions_;
  std::vector<std::unique_ptr<Client>> clients_;
  Duration life_time_{};
  std::size_t lives_ = 1;
  bool is_quiet_ = false;  // nothing befalls it: what can succeed does
  bool has_store_faults_ = false;
  bool has_jumps_ = false;
  bool has_kills_ = false;
  bool has_deployments_ = false;
  bool has_stops_ = false;
  bool has_outages_ = false;
  bool has_snapshots_ = false;
  bool has_drops_ = false;      // of snapshots, whoever starts from them
  bool has_murders_ = false;    // of containers that stand by
  bool has_shortages_ = false;  // of memory
  std::size_t containers_ = 0;
  std::size_t snapshots_ = 0;
  std::size_t restores_ = 0;
  std::size_t stood_by_ = 0;
  std::size_t had_ = 0;
};

}  // namespace thaw::sim
