// SPDX-License-Identifier: Apache-2.0
//
// For tests: temporary folders, a blob store in memory, and a spawner whose programs are C++
// functions that write into the upper of their spec.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <string>

#include "thaw/async/event.h"
#include "thaw/codec/sha256.h"
#include "thaw/image/image.h"
#include "thaw/image/layer_store.h"
#include "thaw/image/root_tree.h"
#include "thaw/os/files.h"

namespace thaw::image {

struct TempFolder {
  TempFolder() {
    char pattern[] = "/tmp/thaw-image-test-XXXXXX";
    path = ::mkdtemp(pattern);
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  std::string operator/(std::string_view name) const { return path + "/" + std::string(name); }
  std::string path;
};

inline void write_file(const std::string& path, const std::string& text) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path) << text;
}
inline std::string read_file(const std::string& path) {
  return os::read_text(path).value_or("(none)");
}

// Overlay mounts need root and a kernel that allows them here.
inline bool can_mount() {
  static const bool can = [] {
    TempFolder folder;
    std::filesystem::create_directories(folder / "layer");
    const bool opened = RootTree::open_writable({folder / "layer"}, folder.path).has_value();
    if (!opened) {
      std::puts("skipped: overlay mounts are not allowed here");
    }
    return opened;
  }();
  return can;
}

class FakeBlobs : public store::BlobStore {
 public:
  explicit FakeBlobs(std::string folder) : folder_(std::move(folder)) {
    std::filesystem::create_directories(folder_);
  }
  std::string add(const std::string& bytes) {
    codec::Sha256 digest;
    digest.update(bytes);
    std::string name = digest.hex();
    write_file(folder_ + "/" + name, bytes);
    return name;
  }
  Result<std::string> path(const std::string& owner, const std::string& name) const override {
    if (!contains(owner, name)) {
      return Error::not_found("no blob " + name);
    }
    return folder_ + "/" + name;
  }
  bool contains(const std::string&, const std::string& name) const override {
    return os::exists(folder_ + "/" + name);
  }
  Result<std::unique_ptr<Writer>> create(const std::string&, Sums) override {
    return Error::unimplemented("fake");
  }
  Result<std::unique_ptr<Reader>> open_reader(const std::string&, const std::string&) override {
    return Error::unimplemented("fake");
  }
  Result<std::unique_ptr<Reader>> open_part(const std::string&, const std::string&, std::uint64_t,
                                            std::uint64_t) override {
    return Error::unimplemented("fake");
  }
  async::Task<store::StoredBlob> put(std::string, std::string) override {
    co_return Error::unimplemented("fake");
  }
  async::Task<std::string> get(std::string, std::string) override {
    co_return Error::unimplemented("fake");
  }
  async::Task<std::vector<std::string>> missing(std::string, std::vector<std::string>,
                                                Duration) override {
    co_return Error::unimplemented("fake");
  }
  async::Task<std::string> md5_of(std::string, std::string) override {
    co_return Error::unimplemented("fake");
  }
  void keep(const std::string&, const std::string&, Duration) override {}
  async::Task<void> remove(std::string, std::string) override { co_return ok(); }
  void begin_marks() override {}
  void mark(const std::string&, std::string_view) override {}
  async::Task<Swept> sweep() override { co_return Swept{}; }
  async::Task<void> remove_strays() override { co_return ok(); }

 private:
  std::string folder_;
};

// What a fake program does: writes files, prints, ends with a code or waits to be killed.
struct FakeProgram {
  std::map<std::string, std::string> files;  // path in the root -> text
  std::deque<std::string> out;
  std::deque<std::string> err;
  int code = 0;
  enum class Ends { at_once, when_killed, when_released } ends = Ends::at_once;
};

class FakeSpawner : public sandbox::Spawner {
 public:
  std::function<FakeProgram(const sandbox::SandboxSpec&)> run;
  std::vector<sandbox::SandboxSpec> specs;  // all that were started
  int running = 0;
  async::Event started;
  async::Event release;
  bool is_released = false;

  Result<void> attach(async::Loop&, async::Pool&) override { return ok(); }
  async::Task<void> prepare() override { co_return ok(); }
  async::Task<void> shut_down() override { co_return ok(); }
  async::Task<void> allow_port(std::uint16_t) override { co_return ok(); }
  std::string bridge_host() const override { return "127.0.0.1"; }

  async::Task<std::unique_ptr<sandbox::Sandbox>> start(sandbox::SandboxSpec spec) override {
    specs.push_back(spec);
    FakeProgram program = run ? run(spec) : FakeProgram{};
    std::filesystem::create_directories(spec.upper + "/upper");
    for (const auto& [path, text] : program.files) {
      write_file(spec.upper + "/upper/" + path, text);
    }
    ++running;
    started.notify_all();
    co_return std::make_unique<Box>(*this, std::move(program), spec.id);
  }

 private:
  class Box : public sandbox::Sandbox {
   public:
    Box(FakeSpawner& spawner, FakeProgram program, model::ContainerId id)
        : spawner_(spawner), program_(std::move(program)), id_(std::move(id)) {}
    ~Box() override {
      if (!is_removed_) {
        --spawner_.running;
      }
    }
    const model::ContainerId& id() const override { return id_; }
    int pid() const override { return 1; }
    bool has_ended() const override { return false; }
    const std::string& address() const override { return id_.str(); }
    const sandbox::StartTimes& times() const override { return times_; }
    std::uint64_t memory_bytes() const override { return 0; }
    async::Task<std::optional<std::string>> read_stdout() override { return next(&program_.out); }
    async::Task<std::optional<std::string>> read_stderr() override { return next(&program_.err); }
    async::Task<sandbox::ExitStatus> wait() override {
      THAW_CO_TRY_VOID(co_await end());
      sandbox::ExitStatus status;
      status.signal = is_killed_ ? SIGKILL : 0;
      status.code = is_killed_ ? 128 + SIGKILL : program_.code;
      co_return status;
    }
    Result<void> signal(int number) override {
      is_killed_ = is_killed_ || number == SIGKILL;
      killed_.notify_all();
      return ok();
    }
    async::Task<void> freeze() override { co_return ok(); }
    Result<void> thaw() override { return ok(); }
    async::Task<std::uint64_t> reclaim() override { co_return 0; }
    async::Task<void> remove() override {
      is_removed_ = true;
      --spawner_.running;
      spawner_.started.notify_all();
      co_return ok();
    }

   private:
    async::Task<void> end() {
      while (!is_killed_ && program_.ends == FakeProgram::Ends::when_killed) {
        THAW_CO_TRY([[maybe_unused]] const bool n, co_await killed_.wait(Instant::max()));
      }
      while (!is_killed_ && program_.ends == FakeProgram::Ends::when_released &&
             !spawner_.is_released) {
        THAW_CO_TRY([[maybe_unused]] const bool n, co_await spawner_.release.wait(Instant::max()));
      }
      co_return ok();
    }
    async::Task<std::optional<std::string>> next(std::deque<std::string>* pieces) {
      if (!pieces->empty()) {
        std::string piece = pieces->front();
        pieces->pop_front();
        co_return std::optional(piece);
      }
      THAW_CO_TRY_VOID(co_await end());
      co_return std::optional<std::string>();
    }

    FakeSpawner& spawner_;
    FakeProgram program_;
    model::ContainerId id_;
    sandbox::StartTimes times_;
    async::Event killed_;
    bool is_killed_ = false;
    bool is_removed_ = false;
  };
};

// A builder on fakes. Recipes begin with FROM scratch, which needs nothing of the host.
struct FakeHouse {
  explicit FakeHouse(std::string cache = "", RegistrySettings registries = {})
      : blobs(folder / "blobs") {
    BuilderOptions options;
    options.layers_folder = folder / "layers";
    options.cache_folder = std::move(cache);
    options.inherit_package_settings = false;
    options.registries = std::move(registries);
    options.inherit_env.clear();
    auto opened = Builder::open(loop, pool, spawner, blobs, options);
    REQUIRE_MESSAGE(opened, (opened ? "" : opened.error().to_string()));
    builder = std::move(*opened);
  }

  static Recipe recipe(std::vector<std::string> lines) {
    Recipe out;
    out.dockerfile = std::move(lines);
    return out;
  }
  BuildLog log() {
    return [this](logs::Channel, const std::string& text) { output += text; };
  }
  Result<BuildResult> try_build(Recipe recipe) {
    return loop.run_task(builder->build(std::move(recipe), log()));
  }
  BuildResult build(Recipe recipe) {
    auto result = try_build(std::move(recipe));
    REQUIRE_MESSAGE(result, (result ? "" : result.error().to_string()));
    return *result;
  }
  // With what registries say that its bases are.
  Result<Recipe> found(Recipe recipe) {
    return loop.run_task(builder->find_bases(std::move(recipe)));
  }
  BuildResult build(std::vector<std::string> lines) { return build(recipe(std::move(lines))); }

  TempFolder folder;
  std::string output;
  async::Loop loop;
  async::Pool pool{2};
  FakeSpawner spawner;
  FakeBlobs blobs;
  std::unique_ptr<Builder> builder;
};

}  // namespace thaw::image
