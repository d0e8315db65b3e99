// SPDX-License-Identifier: Apache-2.0
//
// RegistryClient: reads manifests and blobs from registries that speak OCI's distribution protocol
// (Docker's, version 2). A registry may be anybody's: answers are bounded and checked against their
// digests; redirects are few and never carry who asks to another host; they, and services that give
// out tokens, lead to addresses of the world only, or to the network that the registry itself is
// in. Without TLS only registries of the loopback interface are spoken to, and those that the
// configuration names. Loop thread only.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>

#include "thaw/async/loop.h"
#include "thaw/async/pool.h"
#include "thaw/async/task.h"
#include "thaw/image/blob_file.h"
#include "thaw/image/image.h"
#include "thaw/image/image_manifest.h"
#include "thaw/image/image_name.h"
#include "thaw/image/local_images.h"
#include "thaw/net/resolver.h"
#include "thaw/net/web_client.h"

namespace thaw::image {

// One repository of a registry, for one who asks; shared by the requests of one image.
struct Repository {
  std::string host;  // "registry.lan:5000"
  std::string path;  // "team/app"
  std::optional<RegistryLogin> login;
  std::string workspace;  // for whom
  // The configuration names the host, so that its redirects to this machine are meant.
  bool is_named_by_operator = false;
  // It is this server's own: nobody is asked over a network.
  bool is_local = false;

  // What was learnt while asking.
  std::string authorization;
  std::set<net::IpAddress::Place> places;  // where the registry is

  // "registry.lan:5000/team/app"
  std::string name() const { return host + "/" + path; }
};

class RegistryClient {
 public:
  // The loop, the pool and the local images, if there are any, outlive it.
  RegistryClient(async::Loop& loop, async::Pool& pool, RegistrySettings settings,
                 LocalImages* local = nullptr);
  ~RegistryClient();

  // permission_denied: the configuration lets only others be asked.
  Result<void> may_ask(const std::string& host) const;
  std::shared_ptr<Repository> repository(std::string host, std::string path,
                                         std::optional<RegistryLogin> login,
                                         std::string workspace) const;

  // What `reference` (a tag or a digest) is, whole, checked if it is a digest. not_found: the
  // registry does not have it; permission_denied: it does not give it to who asks; unavailable: it
  // cannot be reached, or fails; failed_precondition: it answers something else. All name the
  // image.
  async::Task<std::string> manifest(std::shared_ptr<Repository> at, std::string reference);
  // A blob of at most most_manifest_bytes, checked.
  async::Task<std::string> small_blob(std::shared_ptr<Repository> at, Descriptor wanted);
  // Into a file, going on where the connection breaks off; checked.
  async::Task<void> blob(std::shared_ptr<Repository> at, Descriptor wanted,
                         std::shared_ptr<BlobFile> into);

 private:
  struct Question;
  bool is_insecure(const std::string& host) const;
  async::Task<net::WebAnswer> ask(std::shared_ptr<Repository> at, Question question);
  async::Task<net::WebAnswer> ask_patiently(std::shared_ptr<Repository> at, Question question);
  async::Task<net::WebAnswer> follow(std::shared_ptr<Repository> at, Question question,
                                     bool* is_elsewhere);
  async::Task<net::WebAnswer> send(std::shared_ptr<Repository> at, net::WebRequest request);
  async::Task<void> log_in(std::shared_ptr<Repository> at, net::Headers said);
  Result<void> check_scheme(const Repository& at, const net::WebUrl& url) const;
  Error denied(const Repository& at, const net::WebAnswer& answer) const;
  async::Task<std::string> checked(std::shared_ptr<Repository> at, std::string body,
                                   std::string digest, std::string what);

  async::Loop& loop_;
  async::Pool& pool_;
  const RegistrySettings settings_;
  LocalImages* local_;
  // Made with the first question: most servers ask none.
  std::unique_ptr<net::Resolver> resolver_;
  std::unique_ptr<net::WebClient> web_;
};

}  // namespace thaw::image
