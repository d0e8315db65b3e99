// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/bucket_helper.h"

#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "thaw/net/ip_address.h"
#include "thaw/os/files.h"

namespace thaw::worker {

namespace {

namespace fs = std::filesystem;
using Access = sandbox::BindMount::Access;

constexpr const char* program_places[] = {"/usr/bin/rclone", "/usr/local/bin/rclone"};
constexpr const char* authorities = "/etc/ssl/certs/ca-certificates.crt";
constexpr const char* loaders[] = {"/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"};
constexpr const char* libraries[] = {"libc.so.6", "libpthread.so.0", "libresolv.so.2",
                                     "libdl.so.2"};
// By which an endpoint is called that has no name: the sandbox reaches nothing by an address.
constexpr const char* nameless = "bucket-endpoint";
constexpr const char* nobody = "65534:65534";
// Of one that serves one bucket to one container: an upload holds 2 parts of 5 MiB, a read 4 MiB.
constexpr std::uint64_t memory_bytes = 768u << 20;
constexpr const char* memory_aim = "600MiB";  // of its garbage collector
constexpr std::uint32_t most_processes = 512;

void add_file(std::vector<sandbox::BindMount>& binds, const std::string& path,
              const std::string& target) {
  std::error_code error;
  const fs::path real = fs::canonical(path, error);  // a bind's source is no link
  if (!error && fs::is_regular_file(real, error)) {
    binds.push_back({real.string(), target, Access::read_only});
  }
}

std::string library_folder() {
  Dl_info info{};
  if (::dladdr(reinterpret_cast<void*>(&::gnu_get_libc_version), &info) == 0 ||
      info.dli_fname == nullptr) {
    return "/lib";
  }
  return fs::path(info.dli_fname).parent_path().string();
}

std::string name_of(const BucketPlan& plan) {
  return net::IpAddress::parse(plan.host) ? std::string(nameless) : plan.host;
}

}  // namespace

Result<void> BucketHelper::prepare() {
  if (!binds_.empty()) {
    return ok();
  }
  std::vector<sandbox::BindMount> binds;
  for (const char* place : program_places) {
    if (binds.empty()) {
      add_file(binds, place, "/bin/rclone");
    }
  }
  if (binds.empty()) {
    return Error::failed_precondition(
        "buckets are served by rclone, which this machine does not have; install the package "
        "'rclone' (`apt-get install rclone`) and try again");
  }
  const std::string folder = library_folder();
  for (const char* library : libraries) {
    add_file(binds, folder + "/" + library, folder + "/" + library);
  }
  for (const char* loader : loaders) {
    add_file(binds, loader, loader);
  }
  add_file(binds, authorities, authorities);
  THAW_TRY_VOID(os::remove_tree(root_));
  for (const char* name : {"/bin", "/mnt", "/etc"}) {
    THAW_TRY_VOID(os::make_folders(root_ + name, 0755));
  }
  THAW_TRY_VOID(os::create_text(root_ + "/bin/fusermount", bucket_hand(), 0755));
  THAW_TRY_VOID(os::create_text(root_ + "/etc/nsswitch.conf", "hosts: files\n", 0644));
  // Whatever this process's mask takes away: who runs there is nobody.
  for (const char* name : {"", "/bin", "/mnt", "/etc", "/bin/fusermount"}) {
    if (::chmod((root_ + name).c_str(), 0755) != 0) {
      return Error::from_errno(errno, "open " + root_ + name + " to what serves buckets");
    }
  }
  binds_ = std::move(binds);
  return ok();
}

std::string BucketHelper::hosts_for(const BucketPlan& plan) {
  return "127.0.0.1 localhost\n127.0.0.1 " + name_of(plan) + "\n";
}

sandbox::SandboxSpec BucketHelper::spec_for(const BucketPlan& plan,
                                            const std::string& folder) const {
  sandbox::SandboxSpec spec;
  spec.layers = {root_};
  spec.binds = binds_;
  spec.binds.push_back({folder, bucket_folder, Access::read_only});
  spec.binds.push_back({folder + "/" + bucket_hosts, "/etc/hosts", Access::read_only});
  spec.argv = {"/bin/rclone", "mount", "b:" + plan.bucket + "/" + plan.prefix, "/mnt",
               "--allow-other", "--uid=0", "--gid=0", "--umask=022",
               // What is only written, from its beginning to its end, goes to the endpoint at once
               // and its close() tells how that went; a file that is changed is kept until it is
               // closed.
               "--vfs-cache-mode=minimal", "--vfs-write-back=0s", "--vfs-cache-max-age=1m",
               "--cache-dir=/tmp/cache", "--dir-cache-time=1s", "--attr-timeout=1s",
               "--poll-interval=0", "--use-server-modtime", "--buffer-size=4M",
               // An endpoint that says nothing is an error within a minute.
               "--contimeout=5s", "--timeout=15s", "--low-level-retries=2", "--retries=1",
               "--s3-upload-concurrency=2", "--log-level=ERROR", "--log-format="};
  if (plan.access == Access::read_only) {
    spec.argv.emplace_back("--read-only");
  }
  const bool is_first_ones = plan.host.ends_with(".amazonaws.com");
  const std::string setting = "RCLONE_CONFIG_B_";
  spec.env = {
      "PATH=/bin",
      "HOME=/tmp",
      "GODEBUG=netdns=go",
      std::string("GOMEMLIMIT=") + memory_aim,
      "RCLONE_CONFIG=/dev/null",
      setting + "TYPE=s3",
      setting + "PROVIDER=" + (is_first_ones ? "AWS" : "Other"),
      setting + "ENDPOINT=" + plan.scheme + "://" + name_of(plan) + ":" + std::to_string(plan.port),
      setting + "REGION=" + plan.region,
      setting + "FORCE_PATH_STYLE=true",
      setting + "NO_CHECK_BUCKET=true",
      setting + "ENV_AUTH=false"};
  if (!plan.access_key_id.empty()) {
    spec.env.push_back(setting + "ACCESS_KEY_ID=" + plan.access_key_id);
    spec.env.push_back(setting + "SECRET_ACCESS_KEY=" + plan.secret_access_key);
  }
  if (!plan.session_token.empty()) {
    spec.env.push_back(setting + "SESSION_TOKEN=" + plan.session_token);
  }
  if (plan.requester_pays) {
    spec.env.push_back(setting + "REQUESTER_PAYS=true");
  }
  spec.user = nobody;
  spec.hostname = "bucket";
  spec.limits.memory_bytes = memory_bytes;
  spec.limits.pids = most_processes;
  spec.network = sandbox::SandboxSpec::Network::none;
  spec.door_port = plan.port;
  return spec;
}

}  // namespace thaw::worker
