// SPDX-License-Identifier: Apache-2.0
#include "thaw/main/tls_setup.h"

#include "thaw/base/log.h"
#include "thaw/net/tls_watch.h"
#include "thaw/net/trust_bundle.h"

namespace thaw::main_program {

namespace {

constexpr Duration look_every = 5s;
constexpr Duration told_before_end = 14 * 24h;

void warn_of_end(const net::TlsIdentities& identities) {
  const auto left = identities.valid_until() - wall_now();
  if (left < told_before_end) {
    const auto hours = std::chrono::duration_cast<std::chrono::hours>(left).count();
    log_warning("a certificate ends soon",
                {{"hours", std::to_string(hours)}, {"do", "put a new one in its place"}});
  }
}

}  // namespace

Result<void> check_listening(const TlsSettings& settings, const std::string& listen,
                             bool is_on_loopback) {
  if (is_on_loopback || !settings.files.empty() || !settings.plain_because.empty()) {
    return ok();
  }
  return Error::failed_precondition(
      "refusing to listen on " + listen +
      " without TLS: tokens and what functions get and answer would pass the network in plain "
      "words. Either give the server a certificate ([server] tls; `thaw tls init` makes one), or "
      "say in the configuration why it needs none, such as [server] plain_because = \"a proxy in "
      "front does TLS\"; or listen on 127.0.0.1");
}

Result<std::shared_ptr<const net::TlsIdentities>> read_identities(const TlsSettings& settings) {
  if (settings.files.empty()) {
    return std::shared_ptr<const net::TlsIdentities>();
  }
  return net::TlsIdentities::read(settings.files, wall_now());
}

std::string host_of_certificates(const net::TlsIdentities& identities,
                                 const std::string& listened) {
  const std::vector<std::string> names = identities.names();
  std::string other;
  for (const std::string& name : names) {
    if (name == listened) {
      return listened;
    }
    if (other.empty() && !name.starts_with("*.") && name != "localhost") {
      other = name;
    }
  }
  return other.empty() ? listened : other;
}

async::Task<void> keep_identities(async::Pool& pool, net::Server& server,
                                  const TlsSettings& settings) {
  // Shared with a look that goes on where this is cancelled.
  const auto watch = std::make_shared<net::TlsWatch>(settings.files);
  const auto look = [watch] { return watch->look(wall_now(), monotonic_now()); };
  Instant warn_at = monotonic_now();
  // Also what has changed since the server's start read them.
  for (bool is_first = true;; is_first = false) {
    const auto found = co_await async::blocking(pool, look);
    if (!found) {
      log_error("the changed certificates are not used, those before go on",
                {{"why", found.error().message()}});
    } else if (*found) {
      server.speak_tls(*found);
      if (!is_first) {
        warn_at = monotonic_now();
        log_info("the certificates were read anew", {});
      }
    }
    if (const auto shown = server.tls_identities(); shown && monotonic_now() >= warn_at) {
      warn_of_end(*shown);
      warn_at = monotonic_now() + 24h;
    }
    THAW_CO_TRY_VOID(co_await async::sleep_for(look_every));
  }
}

Result<std::map<std::string, std::string>> trust_variables(const std::string& authority_file) {
  THAW_TRY(const std::string bundle, net::write_trust_bundle(authority_file));
  std::map<std::string, std::string> variables;
  for (const char* name :
       {"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE",
        "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "HTTPLIB2_CA_CERTS", "GIT_SSL_CAINFO"}) {
    variables[name] = bundle;
  }
  variables["NODE_EXTRA_CA_CERTS"] = authority_file;  // beside its own
  return variables;
}

}  // namespace thaw::main_program
