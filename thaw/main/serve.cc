// SPDX-License-Identifier: Apache-2.0
#include "thaw/main/serve.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <random>

#include "thaw/async/blocking.h"
#include "thaw/async/loop.h"
#include "thaw/async/signals.h"
#include "thaw/async/task_group.h"
#include "thaw/base/log.h"
#include "thaw/catalog/catalog.h"
#include "thaw/catalog/secret_values.h"
#include "thaw/cli/running_servers.h"
#include "thaw/codec/fields.h"
#include "thaw/codec/ids.h"
#include "thaw/control/boxes.h"
#include "thaw/control/disk_watch.h"
#include "thaw/control/fleet.h"
#include "thaw/control/runtimes.h"
#include "thaw/control/storage_loop.h"
#include "thaw/dialect/console/console.h"
#include "thaw/gateway/callback_loop.h"
#include "thaw/gateway/costs.h"
#include "thaw/gateway/http_router.h"
#include "thaw/gateway/public_error.h"
#include "thaw/gateway/schedules.h"
#include "thaw/gateway/time_zones.h"
#include "thaw/gateway/token_upkeep.h"
#include "thaw/main/configuration.h"
#include "thaw/main/dialects.h"
#include "thaw/main/memory_keeper.h"
#include "thaw/main/stored_data.h"
#include "thaw/os/cgroup.h"
#include "thaw/os/files.h"
#include "thaw/os/own_memory.h"
#include "thaw/os/reclaim.h"
#include "thaw/queue/limits.h"
#include "thaw/snapshot/machine.h"
#include "thaw/snapshot/snapshot_store.h"
#include "thaw/state/state_store.h"
#include "thaw/store/data_folder.h"
#include "thaw/store/set_aside.h"
#include "thaw/worker/buckets.h"
#include "thaw/worker/kit.h"
#include "thaw/worker/kits/python/python.h"
#include "thaw/worker/local_worker.h"

namespace thaw::main_program {

namespace fs = std::filesystem;
using async::Task;

namespace {

struct Address {
  std::string host;
  std::uint16_t port = 0;
};

Result<Address> parse_address(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  Address address;
  address.host = text.substr(0, colon);
  const char* end = text.data() + text.size();
  const auto [rest, error] = colon == std::string::npos
                                 ? std::from_chars_result{end, std::errc::invalid_argument}
                                 : std::from_chars(text.data() + colon + 1, end, address.port);
  if (error != std::errc() || rest != end || address.host.empty()) {
    return Error::invalid_argument("--listen wants HOST:PORT, such as 127.0.0.1:8700, not '" +
                                   text + "'");
  }
  return address;
}

bool listens_on_loopback(const Address& listen) {
  in_addr address{};
  const bool is_v4 = ::inet_pton(AF_INET, listen.host.c_str(), &address) == 1;
  return (is_v4 && listen.host.starts_with("127.")) || listen.host == "localhost" ||
         listen.host == "::1";
}

// Each is a descriptor: few of a server that may have few.
std::size_t most_loopback_hosts() {
  rlimit limit{};
  const bool is_known = ::getrlimit(RLIMIT_NOFILE, &limit) == 0;
  return is_known ? std::min<std::size_t>(limit.rlim_cur / 16, 512) : 16;
}

// Whether this machine's resolver has names below "localhost" by itself, as programs of every kind
// see it. Only then is it asked: a name server somewhere else may let one wait.
bool knows_localhost() {
  std::ifstream file("/etc/nsswitch.conf");
  for (std::string line; std::getline(file, line);) {
    const bool answers_itself =
        line.find("myhostname") != std::string::npos || line.find("resolve") != std::string::npos;
    if (line.starts_with("hosts:") && answers_itself) {
      addrinfo* found = nullptr;
      const int failure = ::getaddrinfo("thaw-function.localhost", nullptr, nullptr, &found);
      if (failure == 0) {
        ::freeaddrinfo(found);
      }
      return failure == 0;
    }
  }
  return false;
}

// Empty: no memory snapshots.
std::string criu_of(const Configuration& configuration) {
  const bool there = ::access(configuration.criu.c_str(), X_OK) == 0;
  if (configuration.restores && !there) {
    log_info("no memory snapshots: criu is not installed", {{"program", configuration.criu}});
  }
  return configuration.restores && there ? configuration.criu : "";
}

std::uint64_t step_memory(const Configuration& configuration) {
  const auto memory = os::machine_memory();
  return configuration.step_memory_bytes == 0 && memory ? memory->total_bytes / 2
                                                        : configuration.step_memory_bytes;
}

const std::string run_root = "/run/thaw/";
constexpr std::size_t instance_letters = 8;

// Of servers that were killed or refused to start, this one's own before it among them: with their
// containers' arguments and sockets.
enum class Own { is_dead, is_taken_over };
void remove_dead_run_folders(const std::string& own, Own state) {
  std::vector<std::string> names = os::list_folder(run_root);
  std::erase_if(names, [](const std::string& name) {
    return name.size() != instance_letters ||
           name.find_first_not_of("0123456789abcdef") != std::string::npos;
  });
  auto dead = sandbox::Spawner::dead_instances(std::move(names));
  if (!dead) {
    log_warning("cannot look for what killed servers left", {{"error", dead.error().to_string()}});
    return;
  }
  if (state == Own::is_dead && os::exists(run_root + own)) {
    dead->push_back(own);
  }
  for (const std::string& name : *dead) {
    if (const auto removed = os::remove_tree(run_root + name); !removed) {
      log_warning("a left-over cannot be removed; remove it by hand",
                  {{"error", removed.error().to_string()}});
    }
  }
}

// That this process may have; as usual if that is not known.
std::uint64_t own_memory() {
  const auto layout = os::CgroupLayout::detect();
  const auto memory =
      layout ? os::own_memory_limit(*layout) : Result<std::uint64_t>(layout.error());
  return memory.value_or(std::uint64_t{4} << 30);
}

std::uint64_t own_descriptors() {
  rlimit descriptors{};
  ::getrlimit(RLIMIT_NOFILE, &descriptors);
  return descriptors.rlim_cur;
}

// What is configured, as far as descriptors and memory of this process go.
net::ServerLimits limits_of(const Configuration& configuration) {
  return net::within(configuration.limits, own_descriptors(), own_memory());
}

// Streams of a process in a box, each with a copy to watch it by, the journals of its outputs, and
// the word of its end.
constexpr std::size_t descriptors_of_guest = 10;

// A quarter of what this process may have at most.
std::size_t most_guests() {
  rlimit descriptors{};
  ::getrlimit(RLIMIT_NOFILE, &descriptors);
  return std::max<std::size_t>(descriptors.rlim_cur / (4 * descriptors_of_guest), 2);
}

std::string short_digest(const std::string& text) {
  return store::sha256_hex(text).substr(0, instance_letters);
}

// All parts, in the order in which they need each other; destroyed in reverse.
struct Program {
  Program(std::unique_ptr<sandbox::Spawner> s, Configuration c, std::string d, std::string i,
          const MakeDialects& make)
      : make_dialects(make),
        configuration(std::move(c)),
        data(std::move(d)),
        instance(std::move(i)),
        run_folder(run_root + instance),
        spawner(std::move(s)) {}

  const MakeDialects& make_dialects;
  Configuration configuration;
  std::string data;
  std::string instance;
  std::string run_folder;
  async::Loop loop;
  async::Pool pool{6};
  std::unique_ptr<sandbox::Spawner> spawner;
  std::unique_ptr<store::Database> database;
  std::unique_ptr<store::Database> log_database;
  std::unique_ptr<store::Database> ledger_database;
  std::optional<meter::StoredLedger> ledger;
  std::optional<store::DiskShares> disk;
  std::unique_ptr<store::BlobStore> blobs;
  std::optional<store::SecretBox> box;
  std::unique_ptr<catalog::Catalog> catalog;
  std::unique_ptr<catalog::Repositories> repositories;
  std::optional<gateway::OwnRegistry> registry;
  std::unique_ptr<queue::CallQueue> queue;
  std::unique_ptr<logs::LogHub> logs;
  std::unique_ptr<state::StateStore> state;
  std::unique_ptr<image::Builder> images;
  std::optional<gateway::Access> access;
  std::optional<gateway::TokenUpkeep> token_upkeep;
  std::optional<gateway::BlobGate> blob_gate;
  std::optional<net::HttpClient> http;
  std::optional<gateway::LoopbackHosts> loopback_hosts;
  net::GrpcTable table;
  gateway::HttpRouter router;
  gateway::HttpRouter signed_only;
  std::unique_ptr<net::Server> server;
  std::shared_ptr<const net::TlsIdentities> identities;  // as they were at the start; null: none
  const worker::Kits kits{{worker::bare_kit(), worker::kits::python()}};
  worker::Sources sources;
  std::unique_ptr<worker::Templates> templates;
  std::optional<worker::Buckets> buckets;
  std::unique_ptr<worker::LocalWorker> worker;
  std::unique_ptr<worker::MountLayers> mounts;
  std::unique_ptr<worker::Volumes> volumes;
  control::Runtimes runtimes;
  std::unique_ptr<control::Measurements> measurements;
  std::unique_ptr<snapshot::SnapshotStore> snapshots;  // null: level restored is off
  std::unique_ptr<control::Fleet> fleet;
  std::unique_ptr<control::Boxes> boxes;
  std::unique_ptr<control::StorageLoop> storage;
  std::unique_ptr<control::DiskWatch> disk_watch;
  std::optional<gateway::ImageBuilds> builds;
  std::optional<gateway::WebLabels> labels;
  std::optional<gateway::WebFront> web;
  std::optional<gateway::KeptVersions> versions;
  std::optional<gateway::Deployments> deployments;
  std::optional<gateway::Invoke> invoke;
  std::optional<gateway::Releases> releases;
  std::optional<gateway::Unused> unused;
  std::optional<gateway::ClientlessApps> clientless;
  std::optional<gateway::Passages> passages;
  gateway::TimeZones zones;
  std::optional<gateway::Schedules> schedules;
  std::unique_ptr<gateway::Documents> documents;
  std::optional<gateway::Costs> costs;
  std::optional<gateway::NamedStates> named_states;
  std::optional<gateway::CallTrees> call_trees;
  std::optional<gateway::Environments> environments;
  std::optional<gateway::Logins> logins;
  std::optional<gateway::LoginPage> login_page;
  std::optional<gateway::Tunnels> tunnels;
  std::optional<gateway::BoxVisits> box_visits;
  std::optional<gateway::ContainerDoors> doors;
  std::optional<net::Resolver> resolver;
  std::optional<net::WebClient> web_client;
  std::optional<gateway::WebCallbackSender> callback_sender;
  std::vector<std::unique_ptr<gateway::Dialect>> dialects;
  std::optional<gateway::CallbackLoop> callbacks;
  std::unique_ptr<dialect::console::Console> console;
  bool are_boxes_taken_over = false;
  std::size_t boxes_left = 0;    // for the next server
  gateway::BaseUrl base;         // how this server is reached
  async::TaskGroup tasks{loop};  // last: ended first

  Result<void> open_stores(ServeOptions::Loss loss);
  Task<std::map<std::string, std::int64_t>> set_aside();
  Result<std::unique_ptr<image::Builder>> open_images();
  Result<void> connect();
  void add_sources();
  void open_gateway();
  void open_callbacks();
  void open_schedules();
  void settle_rules(const std::vector<std::uint16_t>& own_ports);
  std::string owner_of_log(const std::string& stream) const;
  Task<void> first_start();
  std::vector<dialect::console::Parts::Count> more_counts() const;
  Task<codec::Json> environment_token();
  Task<std::map<std::string, std::string>> client_environment();
  Task<void> begin(Address listen);
  Task<void> run(Address listen);
  enum class Boxes { end, go_on };
  Task<void> end(Boxes which);
  Task<void> leave_boxes();
  Task<void> close_the_past();
};

Result<void> Program::open_stores(ServeOptions::Loss loss) {
  store::DatabaseOptions options;
  options.path = data + "/thaw.db";
  options.loss = loss == ServeOptions::Loss::accept ? store::DatabaseOptions::Loss::accept
                                                    : store::DatabaseOptions::Loss::refuse;
  options.migrations = catalog::migrations();
  for (auto& migration : queue::migrations()) {
    options.migrations.push_back(std::move(migration));
  }
  for (auto& migration : state::migrations()) {
    options.migrations.push_back(std::move(migration));
  }
  for (auto& migration : store::blob_migrations()) {
    options.migrations.push_back(std::move(migration));
  }
  for (auto& migration : control::measurement_migrations()) {
    options.migrations.push_back(std::move(migration));
  }
  THAW_TRY(database, store::Database::open(loop, std::move(options)));
  THAW_TRY(log_database, open_log_database(loop, data));
  THAW_TRY(ledger_database, open_ledger_database(loop, data));
  ledger.emplace(loop, *ledger_database, configuration.ledger);
  THAW_TRY(catalog, catalog::Catalog::open(*database, configuration.catalog));
  THAW_TRY(documents, gateway::Documents::open(loop, *database, catalog->shares));
  THAW_TRY(repositories,
           catalog::Repositories::open(*database, catalog->shares, configuration.registry.limits));
  const std::string key_file = data + "/secret.key";
  if (loss == ServeOptions::Loss::refuse) {
    THAW_TRY_VOID(check_key_is_there(key_file, *catalog));
  }
  THAW_TRY(auto key, store::SecretBox::open(key_file));
  box.emplace(std::move(key));
  THAW_TRY_VOID(check_secrets(*box, *catalog, *database, loss));
  disk.emplace(data, configuration.disk);
  disk->owners = [this] { return catalog->workspaces.all().size(); };
  store::BlobOptions blob_options;
  blob_options.folder = data + "/blobs";
  blob_options.keep_unused = std::chrono::seconds(configuration.keep_unused_s);
  blob_options.first_owner = catalog->default_workspace().str();
  THAW_TRY(blobs, store::BlobStore::open(pool, *database, *disk, blob_options));
  queue::QueueLimits queue_limits;
  queue_limits.keep_results = std::chrono::seconds(configuration.keep_results_s);
  THAW_TRY(queue, queue::CallQueue::open(loop, *database, queue::within(queue_limits, own_memory()),
                                         &*disk, blobs.get()));
  THAW_TRY(state, state::StateStore::open(loop, *database, configuration.state, &*disk));
  THAW_TRY(measurements, control::Measurements::open(database.get()));
  THAW_TRY(logs, logs::LogHub::open(loop, *log_database, {}));
  return ok();
}

Task<std::map<std::string, std::int64_t>> Program::set_aside() {
  using Counts = std::map<std::string, std::int64_t>;
  std::function<Result<Counts>(store::Transaction&)> count = [](store::Transaction& transaction) {
    return store::count_set_aside(transaction);
  };
  THAW_CO_TRY(Counts all, co_await database->read<Counts>(count));
  THAW_CO_TRY(const Counts of_logs, co_await log_database->read<Counts>(count));
  for (const auto& [name, rows] : of_logs) {
    all["logs." + name] += rows;
  }
  THAW_CO_TRY(const Counts of_ledger, co_await ledger_database->read<Counts>(count));
  for (const auto& [name, rows] : of_ledger) {
    all["ledger." + name] += rows;
  }
  co_return all;
}

std::string Program::owner_of_log(const std::string& stream) const {
  if (const auto app = catalog->apps.find(stream)) {
    return app->workspace.str();
  }
  const auto image = catalog->images.find(stream);
  return image ? image->workspace.str() : builds->builder_of(model::ImageId(stream)).str();
}

Result<std::unique_ptr<image::Builder>> Program::open_images() {
  image::BuilderOptions image_options;
  image_options.layers_folder = data + "/layers";
  image_options.cache_folder = configuration.cache_folder;
  image_options.imports_folder = data + "/imported-images";
  image_options.step_limits.memory_bytes = step_memory(configuration);
  image_options.registries = configuration.registries;
  return image::open_builder(loop, pool, *spawner, *blobs, image_options, &*registry);
}

Result<void> Program::connect() {
  access.emplace(*catalog, &*box);
  token_upkeep.emplace(loop, *access);
  auto errors = std::make_shared<gateway::PublicErrors>(
      std::vector<std::string>{data, run_folder, configuration.cache_folder});
  const auto told = [errors](const Error& error) { return errors->told(error); };
  registry.emplace(gateway::OwnRegistry::Parts{loop, pool, *repositories, *blobs, told},
                   configuration.registry);
  THAW_TRY(images, open_images());
  blob_gate.emplace(*blobs, *box, told);
  http.emplace(loop);
  net::HttpHandler handler = [this](net::HttpExchange& exchange) { return router.serve(exchange); };
  server = std::make_unique<net::Server>(loop, table, handler, limits_of(configuration));
  if (const std::string criu = criu_of(configuration); !criu.empty()) {
    const std::string folder = configuration.snapshots_folder.empty()
                                   ? data + "/snapshots"
                                   : configuration.snapshots_folder;
    THAW_TRY(snapshots,
             snapshot::SnapshotStore::open(pool, folder, snapshot::describe_machine(criu),
                                           configuration.snapshots));
  }
  templates = std::make_unique<worker::Templates>(loop, *spawner, kits, sources, run_folder,
                                                  configuration.templates);
  resolver.emplace(loop);
  web_client.emplace(loop, net::WebClient::Options{configuration.callback_authorities});
  const auto may_reach = [this](const net::WebUrl& url, const net::IpAddress& address) {
    return configuration.buckets.judge(url, address);
  };
  buckets.emplace(worker::BucketsParts{loop, *spawner,
                                       worker::BucketEndpoints(*resolver, *web_client, may_reach),
                                       data + "/bucket-helper", run_folder});
  worker = std::make_unique<worker::LocalWorker>(
      loop, pool, *spawner, *server, *http, *logs,
      worker::LocalWorkerParts{*templates, kits, sources, snapshots.get(), &*buckets}, run_folder);
  mounts = std::make_unique<worker::MountLayers>(pool, *blobs, data + "/mounts");
  volumes = std::make_unique<worker::Volumes>(
      loop, data + "/volumes", *disk, [this](const model::VolumeId& id) {
        const auto volume = catalog->volumes.find(id.str());
        return volume ? volume->workspace.str() : std::string("of nobody");
      });
  add_sources();
  const auto secret_env = [this](const model::Secret& secret) {
    return catalog::secret_env(*box, secret);
  };
  control::FleetParts parts{loop,          *catalog,        *queue,  *images,  *worker,
                            *mounts,       *volumes,        *logs,   runtimes, secret_env,
                            *measurements, snapshots.get(), &*ledger};
  fleet = std::make_unique<control::Fleet>(std::move(parts), configuration.fleet);
  control::BoxLimits box_limits = configuration.boxes;
  box_limits.default_memory_bytes = configuration.fleet.default_memory_bytes;
  box_limits.processes = std::min(box_limits.processes, most_guests());
  box_limits.output.of_all = std::min(box_limits.output.of_all, own_memory() / 16);
  box_limits.output.of_workspace = box_limits.output.of_all / 4;
  // Each workspace's own: together no more than all may have anyway.
  box_limits.output.kept_for_each =
      std::min(box_limits.output.kept_for_each,
               box_limits.output.of_all / std::max<std::size_t>(box_limits.boxes, 1));
  box_limits.output.of_stream =
      std::min(box_limits.output.of_stream, box_limits.output.of_workspace / 2);
  boxes = std::make_unique<control::Boxes>(
      control::BoxesParts{
          loop, *catalog, *worker, *images,
          control::LaunchOutline({*catalog, *images, *mounts, *volumes, secret_env}),
          worker::OutputJournals(configuration.boxes_outlive_server
                                     ? run_folder + "/" + worker::kept_output_folder
                                     : std::string())},
      box_limits);
  storage = std::make_unique<control::StorageLoop>(
      control::StorageParts{loop, *catalog, *queue, *blobs, *mounts, *logs,
                            [this](const std::string& stream) { return owner_of_log(stream); },
                            [this] {
                              auto used = fleet->mounts_in_use();
                              const auto more = boxes->mounts_in_use();
                              used.insert(used.end(), more.begin(), more.end());
                              return used;
                            },
                            [this] { return builds->builders(); },
                            [this](std::string_view payload, std::vector<std::string>& names) {
                              for (const auto& dialect : dialects) {
                                dialect->find_references(payload, names);
                              }
                            },
                            [this](const queue::NoteReference& note) {
                              documents->visit_references(note);
                              return registry->mark_blobs();
                            }},
      configuration.storage);
  disk_watch = std::make_unique<control::DiskWatch>(
      control::DiskWatchParts{loop, *disk, *volumes,
                              [this] {
                                auto users = fleet->disk_users();
                                const auto more = boxes->disk_users();
                                users.insert(users.end(), more.begin(), more.end());
                                return users;
                              },
                              [this](model::ContainerId id) {
                                auto of_box = boxes->measure_root(id);
                                return of_box ? std::move(*of_box)
                                              : fleet->measure_root(std::move(id));
                              },
                              [this](const model::ContainerId& id, const std::string& why) {
                                if (!boxes->end_for(id, why)) {
                                  fleet->end_for(id, why);
                                }
                              },
                              [this](const model::ContainerId& id) {
                                // A box has no work that it could finish.
                                (void)fleet->stop_container(id, control::Fleet::StopHow::graceful);
                              }},
      configuration.disk_watch);
  open_gateway();
  access->function_of_container = [this](const model::ContainerId& id) {
    return fleet->spec_of(id);
  };
  console = std::make_unique<dialect::console::Console>(dialect::console::Parts{
      *catalog, *queue, *logs, *fleet, *access, *server, *disk, *storage, *disk_watch, *images,
      [this] { return router.prefixes(); }, [this] { return client_environment(); },
      [this] { return set_aside(); }, [this] { return more_counts(); }, *logins});
  for (const auto& dialect : dialects) {
    dialect->add_methods(table);
    dialect->add_routes(router);
    dialect->add_signed_routes(router);
    dialect->add_signed_routes(signed_only);
  }
  table.told = told;
  // Servers of gRPC are functions too, at hosts of their own.
  table.passes = [this](const net::HttpRequest& head) { return web->by_host(head) != nullptr; };
  router.told = told;
  router.add_signed(
      "/blobs", [this](net::HttpExchange& e) { return blob_gate->serve(e); },
      [this](const net::HttpRequest& request) { return blob_gate->is_genuine(request); });
  router.add("/web", [this](net::HttpExchange& e) { return web->serve_path(e); });
  router.add("/admin", [this](net::HttpExchange& e) { return console->serve_admin(e); });
  router.add("/apps", [this](net::HttpExchange& e) { return console->serve_app_page(e); });
  router.add("/login", [this](net::HttpExchange& e) { return login_page->serve(e); });
  router.add("/healthz", [this](net::HttpExchange& e) { return console->serve_health(e); });
  router.add("/metrics", [this](net::HttpExchange& e) { return console->serve_metrics(e); });
  router.by_door = [this](net::HttpExchange& exchange) { return doors->serve(exchange); };
  router.by_host = [this](const net::HttpRequest& request) { return web->by_host(request); };
  return ok();
}

// Where this machine has what launch plans name.
void Program::add_sources() {
  for (const char* kind : {"layer", "base"}) {
    sources.add(kind, [this, prefix = std::string(kind) + ":"](const std::string& name) {
      return images->folder_of(prefix + name);
    });
  }
  sources.add("mount", worker::below(data + "/mounts"));
  sources.add("volume",
              [this, folder = worker::below(data + "/volumes")](
                  const std::string& name) -> Result<std::string> {
                THAW_TRY_VOID(folder(name));
                return volumes->files_of(model::VolumeId(name));
              });
  sources.add("package", worker::below(configuration.cache_folder));
}

// What all dialects share, and the dialects themselves.
void Program::open_gateway() {
  builds.emplace(loop, *catalog, *logs, *images);
  labels.emplace(*catalog);
  web.emplace(*labels);
  gateway::DeploymentOptions kept;
  kept.keep_stopped = std::chrono::seconds(configuration.keep_stopped_s);
  kept.keep_deployments = static_cast<std::size_t>(configuration.keep_deployments);
  versions.emplace(gateway::KeptVersionsParts{loop, *catalog, *queue, *fleet});
  deployments.emplace(
      gateway::DeploymentParts{loop, *catalog, *queue, *logs, *fleet, *labels, *versions}, kept);
  invoke.emplace(gateway::InvokeParts{*catalog, *queue, *fleet, *versions});
  releases.emplace(
      gateway::ReleaseParts{*catalog, *blobs, *images, *builds, *deployments, *invoke});
  unused.emplace(gateway::UnusedParts{loop, *catalog, *queue, *logs, *fleet, *builds},
                 std::chrono::seconds(configuration.forget_unused_s));
  costs.emplace(*catalog, *access, *ledger, configuration.prices);
  clientless.emplace(gateway::ClientlessAppsParts{loop, *catalog, *queue, *deployments});
  passages.emplace(loop, *fleet, *http);
  doors.emplace(*fleet);
  open_schedules();
  named_states.emplace(gateway::NamedStateParts{loop, *catalog, *state},
                       configuration.named_states);
  call_trees.emplace(*queue, gateway::within(gateway::CallTreeLimits{}, own_memory()));
  environments.emplace(gateway::EnvironmentParts{loop, *catalog, *deployments, *named_states});
  logins.emplace(*access);
  login_page.emplace(*logins, *box, *catalog, configuration.login_page);
  const auto address_of = [this](const model::ContainerId& id) {
    return boxes->find(id) ? boxes->address_of(id) : fleet->address_of(id);
  };
  tunnels.emplace(loop, address_of, gateway::within(gateway::TunnelLimits{}, own_descriptors()));
  tunnels->used = [this](const model::ContainerId& id) {
    if (const control::BoxPtr used = boxes->find(id)) {
      used->last_use = monotonic_now();
    }
  };
  box_visits.emplace(*boxes, *http);
  const gateway::Owners owners{loop,          pool,
                               *catalog,      *queue,
                               *logs,         *state,
                               *blobs,        *disk,
                               *box,          *images,
                               *volumes,      *mounts,
                               *fleet,        *boxes,
                               *access,       *blob_gate,
                               *builds,       *labels,
                               *web,          *deployments,
                               *versions,     *passages,
                               *invoke,       *releases,
                               *unused,       *clientless,
                               *named_states, *call_trees,
                               *environments, *logins,
                               *tunnels,      *box_visits,
                               *registry,     configuration.sinks,
                               *schedules,    zones,
                               *documents,    *costs};
  dialects = make_dialects(owners, configuration);
  for (const auto& dialect : dialects) {
    runtimes.add(dialect->name(), dialect->runtime());
    web->add(dialect->name(),
             [at = dialect.get()](net::HttpExchange& exchange, gateway::WebTarget target) {
               return at->serve_web(exchange, std::move(target));
             });
    doors->add(dialect->name(),
               [at = dialect.get()](net::HttpExchange& exchange, gateway::DoorVisit visit) {
                 return at->serve_container(exchange, std::move(visit));
               });
  }
  open_callbacks();
}

void Program::open_schedules() {
  gateway::ScheduleOptions options;
  options.make_good = std::chrono::seconds(configuration.make_good_s);
  const auto call_for = [this](const gateway::Route& route,
                               WallTime tick) -> Result<gateway::CallbackCall> {
    const std::string& wanted = route.spec->dialect;
    for (const auto& dialect : dialects) {
      if (wanted.empty() || dialect->name() == wanted) {
        return dialect->scheduled_call(route, tick);
      }
    }
    return Error::failed_precondition("this server has no dialect '" + wanted +
                                      "', through which the function was published");
  };
  schedules.emplace(
      gateway::ScheduleParts{loop, *catalog, *queue, *invoke, *versions, zones, call_for}, options);
  deployments->changed = [this](const std::vector<model::FunctionId>& functions) {
    schedules->look_at(functions);
  };
}

void Program::open_callbacks() {
  callback_sender.emplace(pool, *web_client, *resolver, *box, configuration.sinks);
  const auto dialect_named = [this](const std::string& name) -> gateway::CallbackDialect* {
    for (const auto& dialect : dialects) {
      if (dialect->name() == name) {
        return dialect->callbacks();
      }
    }
    return nullptr;
  };
  auto random = [generator = std::mt19937_64(std::random_device()())]() mutable {
    return std::uniform_real_distribution<double>(0, 1)(generator);
  };
  callbacks.emplace(gateway::CallbackLoopParts{loop, *queue, *callback_sender, pool, dialect_named,
                                               std::move(random)});
}

// What is kept away from is known once the server listens.
void Program::settle_rules(const std::vector<std::uint16_t>& own_ports) {
  gateway::SinkRules::Around around;
  around.interfaces = gateway::interfaces_of_this_machine;
  around.own_ports = own_ports;
  if (const auto network = net::IpNetwork::parse(spawner->bridge_host() + "/16")) {
    around.own_networks.push_back(*network);
  }
  configuration.buckets.stand(around);
  configuration.sinks.stand(std::move(around));
}

std::vector<dialect::console::Parts::Count> Program::more_counts() const {
  using Count = dialect::console::Parts::Count;
  const std::size_t aside = sandbox::Spawner::set_aside(data + "/sandboxes").size();
  const gateway::CallbackLoop::Counters told = callbacks->counters();
  const meter::MeterCounters& metered = fleet->metered();
  return {{"thaw_usage_lines_total", "Calls and exchanges that the ledger has a line of.",
           Count::Kind::counter, static_cast<double>(metered.lines)},
          {"thaw_usage_spans_total", "Containers that have ended, with a span in the ledger.",
           Count::Kind::counter, static_cast<double>(metered.spans)},
          {"thaw_usage_lost_total", "Lines and spans that found the ledger's buffer full.",
           Count::Kind::counter, static_cast<double>(metered.lost)},
          {"thaw_spawner_deaths_total",
           "Times that the spawner process ended by itself and was brought back.",
           Count::Kind::counter, static_cast<double>(spawner->deaths())},
          {"thaw_set_aside", "Left-overs of sandboxes that are not removed yet, or cannot be.",
           Count::Kind::gauge, static_cast<double>(aside)},
          {"thaw_boxes", "Boxes that live: containers that clients hold.", Count::Kind::gauge,
           static_cast<double>(boxes->living().size())},
          {"thaw_boxes_created_total", "Boxes that were made.", Count::Kind::counter,
           static_cast<double>(boxes->counters().created)},
          {"thaw_box_start_failures_total", "Boxes that could not be started.",
           Count::Kind::counter, static_cast<double>(boxes->counters().failed)},
          {"thaw_box_processes_total", "Processes that were started in boxes.",
           Count::Kind::counter, static_cast<double>(boxes->counters().processes)},
          {"thaw_scheduled_calls_total", "Calls that schedules made.", Count::Kind::counter,
           static_cast<double>(schedules->counters().calls)},
          {"thaw_schedule_ticks_left_out_total", "Ticks of schedules that made no call.",
           Count::Kind::counter, static_cast<double>(schedules->counters().left_out)},
          {"thaw_callbacks_delivered_total", "Entries of calls' logs that callbacks told.",
           Count::Kind::counter, static_cast<double>(told.delivered)},
          {"thaw_callback_failures_total", "Tries of callbacks that their receivers did not take.",
           Count::Kind::counter, static_cast<double>(told.failed)},
          {"thaw_callbacks_given_up_total", "Callbacks that ended without all being told.",
           Count::Kind::counter, static_cast<double>(told.given_up)},
          {"thaw_callbacks_under_way", "Tries of callbacks under way.", Count::Kind::gauge,
           static_cast<double>(told.under_way)},
          {"thaw_queue_waits", "Requests that wait for an item of a queue.", Count::Kind::gauge,
           static_cast<double>(state->queues().waits())}};
}

// A new data folder gets a workspace and its environment.
Task<void> Program::first_start() {
  const model::WorkspaceId workspace = catalog->default_workspace();
  if (!catalog->workspaces.find(workspace.str())) {
    THAW_CO_TRY_VOID(co_await catalog->workspaces.put({workspace, "thaw"}));
  }
  if (!catalog->environment(workspace, "")) {
    model::Environment environment;
    environment.id = catalog->lost_environment(workspace);
    if (environment.id.empty()) {
      environment.id = model::EnvironmentId(codec::random_id("en"));
    }
    environment.workspace = workspace;
    environment.name = "main";
    environment.created_at = wall_now();
    THAW_CO_TRY_VOID(co_await catalog->environments.put(std::move(environment)));
  }
  THAW_CO_TRY([[maybe_unused]] const codec::Json token, co_await environment_token());
  co_return ok();
}

// The token of this machine's own user, which is kept sealed so that `thaw env` can print it again;
// a new one once it was revoked.
Task<codec::Json> Program::environment_token() {
  const std::string file = data + "/env.token";
  // Whatever else is in its place goes: a pipe or a device would never end.
  constexpr std::uintmax_t most_bytes = 64u << 10;
  std::error_code failure;
  if (!std::filesystem::is_regular_file(file, failure) ||
      std::filesystem::file_size(file, failure) > most_bytes) {
    std::filesystem::remove(file, failure);
  }
  const Result<std::string> read = os::read_text(file);
  const std::string sealed = read ? *read : std::string();
  const auto known = sealed.empty() ? Result<std::string>(Error::not_found("none"))
                                    : box->unseal(sealed, "env.token");
  std::string id;
  std::string secret;
  if (const auto json = known ? codec::parse_json(*known) : Result<codec::Json>(known.error())) {
    codec::Fields fields(*json);
    fields.read("token", id);
    fields.read("secret", secret);
  }
  codec::Json pair = {{"token", id}, {"secret", secret}};
  if (!access->from_token(id, secret)) {
    if (!sealed.empty()) {
      log_warning("the token of `thaw env` is made anew",
                  {{"reason", known ? "it is none any more" : known.error().message()}});
    }
    THAW_CO_TRY(const gateway::NewToken made,
                co_await access->create_token({catalog->default_workspace(), "thaw env"}));
    pair = {{"token", made.id}, {"secret", made.secret}};
    THAW_CO_TRY(const std::string bytes, box->seal(pair.dump(), "env.token"));
    std::ofstream out(file, std::ios::binary | std::ios::trunc);
    out << bytes;
    out.close();
    ::chmod(file.c_str(), 0600);
    if (!out) {
      co_return Error::unavailable("cannot write " + file);
    }
  }
  co_return pair;
}

Task<std::map<std::string, std::string>> Program::client_environment() {
  THAW_CO_TRY(const codec::Json pair, co_await environment_token());
  const gateway::NewToken token{model::TokenId(pair.value("token", "")), pair.value("secret", "")};
  std::map<std::string, std::string> variables;
  for (const auto& dialect : dialects) {
    variables.merge(dialect->client_environment(base, token));
  }
  if (!configuration.tls.authority_file.empty() && identities) {
    const auto write = [file = configuration.tls.authority_file] { return trust_variables(file); };
    THAW_CO_TRY(auto trust, co_await async::blocking(pool, write));
    variables.merge(trust);
  }
  co_return variables;
}

Task<void> Program::begin(Address listen) {
  THAW_CO_TRY_VOID(spawner->attach(loop, pool));
  // The port first: a server that cannot have it should not touch the machine's network. Clients
  // that ask before all is there, as those of a server that was killed do, wait.
  server->hold();
  THAW_CO_TRY(const std::uint16_t port, server->listen_tcp(listen.host, listen.port));
  std::string reachable = listen.host == "0.0.0.0" ? "127.0.0.1" : listen.host;
  if (identities) {
    reachable = host_of_certificates(*identities, reachable);
    server->speak_tls(identities);
    if (configuration.tls.plain_because.empty()) {
      server->ask_for_tls();
    }
  }
  base = {identities ? "https" : "http", reachable + ":" + std::to_string(port)};
  THAW_CO_TRY_VOID(co_await spawner->prepare());
  THAW_CO_TRY_VOID(co_await first_start());
  // Signed URLs and nothing else: containers reach this.
  signed_only.add("/blobs", [this](net::HttpExchange& e) { return blob_gate->serve(e); });
  net::HttpHandler blobs_only = [this](net::HttpExchange& e) { return signed_only.serve(e); };
  const std::string bridge = spawner->bridge_host();
  THAW_CO_TRY(const std::uint16_t blob_port, server->listen_http_only(bridge, 0, blobs_only));
  THAW_CO_TRY_VOID(co_await spawner->allow_port(blob_port));
  gateway::Surroundings place;
  place.scheme = base.scheme;
  place.authority = base.authority;
  place.container_authority = bridge + ":" + std::to_string(blob_port);
  place.web_domain = configuration.web_domain;
  if (configuration.has_tunnels) {
    tunnels->identities = [this] { return server->tls_identities(); };
    tunnels->start(listen.host);
  }
  place.is_on_loopback = listens_on_loopback(listen);
  place.knows_localhost = listens_on_loopback(listen) && knows_localhost();
  place.proxies = configuration.trusted_proxies;
  place.memory_bytes = own_memory();
  place.message_buffer_bytes = limits_of(configuration).buffer_bytes;
  if (listens_on_loopback(listen) && !place.knows_localhost && place.web_domain.empty()) {
    const auto listen_at = [this, port](const std::string& host,
                                        net::HttpHandler handler) -> Result<void> {
      THAW_TRY([[maybe_unused]] const std::uint16_t bound,
               server->listen_http_only(host, port, std::move(handler)));
      return ok();
    };
    loopback_hosts.emplace(listen_at, most_loopback_hosts(), most_loopback_hosts() / 2);
  }
  web->open(place, loopback_hosts ? &*loopback_hosts : nullptr);
  THAW_CO_TRY_VOID(volumes->start());
  versions->start();
  deployments->start();
  unused->start();
  clientless->start();
  named_states->start();
  documents->start();
  environments->start();
  token_upkeep->start();
  registry->start(base.authority);
  for (const auto& dialect : dialects) {
    dialect->start(place);
  }
  THAW_CO_TRY_VOID(co_await close_the_past());
  ledger->start();
  settle_rules({port, blob_port});
  THAW_CO_TRY_VOID(co_await boxes->take_over());
  are_boxes_taken_over = true;
  fleet->start();
  boxes->start();
  storage->start();
  disk_watch->start();
  callbacks->start();
  schedules->start();
  server->begin();
  tasks.start("memory", keep_memory(pool, *server,
                                    {database.get(), log_database.get(), ledger_database.get()},
                                    own_memory()));
  if (identities) {
    tasks.start("certificates", keep_identities(pool, *server, configuration.tls));
  }
  THAW_CO_TRY_VOID(server->listen_unix(data + "/admin.sock", "admin"));
  cli::RunningServer self;
  self.pid = ::getpid();
  self.data = data;
  self.url = base + "";
  // The verbs of this machine ask in plain words, where it listens.
  self.listens_at =
      (listen.host == "0.0.0.0" ? "127.0.0.1" : listen.host) + ":" + std::to_string(port);
  self.started_at = to_seconds(wall_now());
  THAW_CO_TRY_VOID(cli::announce_server(self));
  std::printf("thaw ready on %s data=%s\n", self.url.c_str(), data.c_str());
  std::fflush(stdout);
  log_info("ready", {{"url", self.url}, {"data", data}, {"instance", instance}});
  co_return ok();
}

// What a server before this one used, and did not write down as over. A ledger that does not take
// it now takes it at the next start: nobody is kept from working by it.
Task<void> Program::close_the_past() {
  constexpr std::size_t at_once = 1'000;
  while (true) {
    const Result<std::vector<queue::OwedLine>> owed = co_await queue->owed(at_once);
    std::vector<std::string> ids;
    std::vector<std::string> lines;
    for (const queue::OwedLine& one : owed ? *owed : std::vector<queue::OwedLine>()) {
      ids.push_back(one.id);
      lines.push_back(one.line);
    }
    const auto found = co_await ledger->recover(std::move(lines));
    if (!owed || !found) {
      log_error("the ledger does not take what a server before this one used",
                {{"error", (owed ? found.error() : owed.error()).to_string()}});
      co_return ok();
    }
    if (found->spans + found->lines + found->bad > 0) {
      log_info("the ledger of a server that ended is closed",
               {{"containers", std::to_string(found->spans)},
                {"calls", std::to_string(found->lines)},
                {"unreadable", std::to_string(found->bad)}});
    }
    queue->settle(std::move(ids));
    if (owed->size() < at_once || found->lines == 0) {
      co_return ok();  // what is seen again is on its way out
    }
  }
}

// Those that the last server has left are the next one's too, if this one did not get to them.
Task<void> Program::leave_boxes() {
  THAW_CO_TRY(boxes_left, co_await boxes->leave());
  boxes_left += !are_boxes_taken_over && spawner->was_taken_over() ? 1 : 0;
  if (boxes_left > 0) {
    log_info("sandboxes go on without a server, until the next one",
             {{"sandboxes", std::to_string(boxes_left)}});
  }
  co_return ok();
}

Task<void> Program::end(Boxes which) {
  co_await async::forget_cancellation();
  cli::withdraw_server(::getpid());
  const Duration grace = std::chrono::seconds(configuration.drain_s);
  const auto told = [](const char* what, const Result<void>& outcome) {
    if (!outcome) {
      log_warning("shutdown step failed", {{"step", what}, {"error", outcome.error().to_string()}});
    }
  };
  told("memory", co_await tasks.stop());
  if (callbacks) {
    told("callbacks", co_await callbacks->stop());
  }
  if (schedules) {
    told("schedules", co_await schedules->stop());
  }
  told("boxes", which == Boxes::go_on ? co_await leave_boxes() : co_await boxes->shut_down());
  told("containers", co_await fleet->shut_down(monotonic_now() + grace));
  told("ledger", co_await ledger->stop());
  told("disk watch", co_await disk_watch->stop());
  told("storage", co_await storage->stop());
  told("templates", co_await templates->shut_down());
  told("connections", co_await server->drain(monotonic_now() + 2s));
  for (const auto& dialect : dialects) {
    told(dialect->name().c_str(), co_await dialect->stop());
  }
  told("image builds", co_await builds->stop());
  told("apps", co_await clientless->stop());
  told("what is unused", co_await unused->stop());
  told("deployments", co_await deployments->stop());
  told("versions", co_await versions->stop());
  told("environments", co_await environments->stop());
  told("tokens", co_await token_upkeep->stop());
  told("tunnels", co_await tunnels->stop());
  told("own registry", co_await registry->stop());
  told("dicts and queues", co_await named_states->stop());
  told("documents", co_await documents->stop());
  told("state", co_await state->stop());
  told("volumes", co_await volumes->stop());
  told("sandboxes", boxes_left > 0 ? co_await spawner->leave() : co_await spawner->shut_down());
  std::error_code error;
  fs::remove(data + "/admin.sock", error);
  if (boxes_left == 0) {
    told("run folder", os::remove_tree(run_folder));
  }
  co_return ok();
}

Task<void> Program::run(Address listen) {
  Result<void> outcome = co_await begin(listen);
  Boxes which = Boxes::go_on;
  if (outcome) {
    THAW_CO_TRY(const int signal, co_await async::wait_for_signal({SIGTERM, SIGINT}));
    which = signal == SIGINT ? Boxes::end : Boxes::go_on;
    log_info("stopping", {{"signal", std::to_string(signal)},
                          {"sandboxes", which == Boxes::end ? "end" : "go on, if they can"}});
  }
  (void)co_await end(which);
  co_return outcome;
}

void raise_file_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
}

Result<void> serve_until_told(const ServeOptions& options, const MakeDialects& make_dialects) {
  THAW_TRY(const Address listen, parse_address(options.listen));
  THAW_TRY(const Configuration configuration, read_configuration(options.configuration));
  THAW_TRY_VOID(check_listening(configuration.tls, options.listen, listens_on_loopback(listen)));
  THAW_TRY(auto identities, read_identities(configuration.tls));
  if (::geteuid() != 0) {
    return Error::permission_denied(
        "thaw serve needs root: it makes namespaces, mounts and a network bridge; run it with "
        "sudo");
  }
  std::error_code error;
  fs::create_directories(options.data, error);
  if (error) {
    return Error::from_errno(error.value(), "cannot make the data folder " + options.data);
  }
  const std::string data = fs::canonical(options.data, error).string();
  THAW_TRY(const store::DataFolder claim, store::DataFolder::claim(data));
  raise_file_limit();
  os::steady_allocator();
  // One name per data folder: what a killed server left behind is found by its successor.
  const std::string instance = short_digest(data);
  sandbox::SpawnerOptions spawner_options;
  spawner_options.instance = instance;
  spawner_options.folder = data + "/sandboxes";
  spawner_options.bridge_address = configuration.bridge_address;
  spawner_options.criu = criu_of(configuration);
  spawner_options.refused_networks = configuration.refused_networks;
  spawner_options.allowed_networks = configuration.allowed_networks;
  spawner_options.own_ids = configuration.own_ids;
  if (configuration.boxes_outlive_server) {
    spawner_options.keeping = sandbox::SpawnerOptions::Keeping::on;
  }
  fs::create_directories(configuration.cache_folder, error);
  spawner_options.shown_folders = {configuration.cache_folder};
  THAW_TRY(auto spawner, sandbox::Spawner::fork(spawner_options));
  // From here on the name is this server's.
  remove_dead_run_folders(instance, spawner->was_taken_over() ? Own::is_taken_over : Own::is_dead);
  THAW_TRY_VOID(os::make_folders(run_root + instance, 0700));
  Program program(std::move(spawner), configuration, data, instance, make_dialects);
  program.identities = std::move(identities);
  Result<void> outcome = program.open_stores(options.loss);
  outcome = outcome ? program.connect() : outcome;
  outcome = outcome ? program.loop.run_task(program.run(listen)) : outcome;
  if (program.database) {
    program.database->close();
  }
  if (program.ledger_database) {
    program.ledger_database->close();
  }
  if (program.log_database) {
    program.log_database->close();
  }
  program.pool.join();
  program.spawner.reset();  // waits for the spawner process
  if (!outcome) {
    return outcome;
  }
  // Everything is on disk and every child is gone; what remains is memory.
  std::fflush(nullptr);
  ::_exit(0);
}

}  // namespace

int serve(const ServeOptions& options, const MakeDialects& make_dialects) {
  std::signal(SIGPIPE, SIG_IGN);
  const Result<void> outcome = serve_until_told(options, make_dialects);
  if (!outcome) {
    std::fprintf(stderr, "thaw: %s\n", outcome.error().to_string().c_str());
    std::fflush(nullptr);
    ::_exit(1);
  }
  return 0;
}

std::string lacks_own_ids() {
  const char* named = std::getenv("THAW_IMAGE_CACHE");
  const std::string cache =
      named != nullptr && *named != '\0' ? named : Configuration().cache_folder;
  std::error_code error;
  fs::create_directories(cache, error);
  const auto possible = sandbox::check_own_ids(cache + "/own-ids");
  fs::remove(cache + "/own-ids", error);
  return possible ? "" : possible.error().to_string();
}

}  // namespace thaw::main_program
