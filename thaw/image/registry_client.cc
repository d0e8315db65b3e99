// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/registry_client.h"

#include <algorithm>

#include "thaw/async/blocking.h"
#include "thaw/image/registry_auth.h"

namespace thaw::image {

namespace {

using Place = net::IpAddress::Place;

constexpr Duration resolve_limit = std::chrono::seconds(10);
constexpr Duration small_limit = std::chrono::seconds(30);  // of a request for something small
constexpr Duration blob_limit = std::chrono::hours(2);      // over all its requests
constexpr Duration silence_limit = std::chrono::seconds(60);
constexpr Duration first_pause = std::chrono::milliseconds(200);
constexpr int most_redirects = 5;
constexpr int most_tries = 3;             // of a request that found nobody
constexpr int most_tries_of_nothing = 4;  // of a blob of which not a byte more comes
constexpr int most_breaks = 100;          // of one blob
constexpr std::size_t most_token_bytes = 64u << 10;
constexpr std::size_t most_complaint_bytes = 16u << 10;
constexpr unsigned resolver_threads = 4;

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// The host of "host:port" or "[::1]:5000".
std::string bare_host(const std::string& host) {
  if (host.starts_with('[')) {
    return host.substr(1, host.find(']') - 1);
  }
  return host.substr(0, host.find(':'));
}

bool is_loopback(const std::string& host) {
  const std::string bare = bare_host(host);
  const auto address = net::IpAddress::parse(bare);
  return bare == "localhost" || (address && address->place() == Place::loopback);
}

// Who names a registry by its host means it, wherever that is; but these are no hosts' places, or
// those where clouds keep a machine's credentials.
bool may_be_named(Place place) {
  return place == Place::global || place == Place::private_network || place == Place::loopback;
}

bool may_lead_to(Place place, const Repository& at) {
  // Where it is itself, if it is nowhere else; to this machine only if its operator has named it:
  // what listens on loopback trusts whoever reaches it, and a user's function may listen there too.
  const bool is_beside = at.places.size() == 1 && at.places.contains(place);
  return place == Place::global || (place == Place::private_network && is_beside) ||
         (place == Place::loopback && is_beside && at.is_named_by_operator);
}

// Where functions of a server on loopback have addresses of their own: they are no registries.
bool is_address_of_functions(const net::IpAddress& address) {
  static const auto network = net::IpNetwork::parse("127.64.0.0/10");
  return network && network->contains(address);
}

std::string said(const net::WebAnswer& answer) {
  // The rest of a long one is none that people would read.
  const std::string complaint =
      registry_complaint(std::string_view(answer.body).substr(0, most_complaint_bytes));
  return "it answers " + std::to_string(answer.status) +
         (complaint.empty() ? "" : " (" + complaint + ")");
}

std::string short_digest(const std::string& digest) { return digest.substr(0, 19); }

Result<void> check_digest(const std::string& bytes, const std::string& digest,
                          const std::string& what) {
  codec::Sha256 sum;
  sum.update(bytes);
  const std::string found = "sha256:" + sum.hex();
  if (found == digest) {
    return ok();
  }
  return Error(Code::data_loss, what + ": what came for " + digest + " is " + found +
                                    ": the registry, or what is between, is broken or lies");
}

}  // namespace

struct RegistryClient::Question {
  net::WebUrl url;
  std::string what;  // for people: "registry.lan/app:1"
  std::string accept;
  std::string range;
  std::size_t answer_bytes = most_manifest_bytes + 1;
  Duration limit = small_limit;
  std::shared_ptr<net::BodySink> sink;
};

RegistryClient::RegistryClient(async::Loop& loop, async::Pool& pool, RegistrySettings settings,
                               LocalImages* local)
    : loop_(loop), pool_(pool), settings_(std::move(settings)), local_(local) {}

RegistryClient::~RegistryClient() = default;

Result<void> RegistryClient::may_ask(const std::string& host) const {
  const auto& only = settings_.only;
  if (only.empty() || host == settings_.default_registry ||
      std::find(only.begin(), only.end(), host) != only.end()) {
    return ok();
  }
  return Error::permission_denied("the registry " + host +
                                  " is not asked by this server: [images] registries in its "
                                  "configuration names those that are");
}

std::shared_ptr<Repository> RegistryClient::repository(std::string host, std::string path,
                                                       std::optional<RegistryLogin> login,
                                                       std::string workspace) const {
  const auto has = [&host](const std::vector<std::string>& list) {
    return std::find(list.begin(), list.end(), host) != list.end();
  };
  auto made = std::make_shared<Repository>();
  made->is_named_by_operator =
      has(settings_.only) || has(settings_.insecure) || host == settings_.default_registry;
  made->host = std::move(host);
  made->path = std::move(path);
  made->login = std::move(login);
  made->workspace = std::move(workspace);
  return made;
}

bool RegistryClient::is_insecure(const std::string& host) const {
  const auto& named = settings_.insecure;
  return is_loopback(host) || std::find(named.begin(), named.end(), host) != named.end();
}

Result<void> RegistryClient::check_scheme(const Repository& at, const net::WebUrl& url) const {
  if (url.scheme == "https" || is_insecure(at.host)) {
    return ok();
  }
  return Error::permission_denied("the registry " + at.host + " leads to " + url.origin() +
                                  ", which has no TLS; that is followed only for registries that "
                                  "[images] insecure_registries names");
}

// One request, to an address that may be connected to.
async::Task<net::WebAnswer> RegistryClient::send(std::shared_ptr<Repository> at,
                                                 net::WebRequest request) {
  if (!web_) {
    resolver_ = std::make_unique<net::Resolver>(loop_, resolver_threads);
    web_ = std::make_unique<net::WebClient>(loop_,
                                            net::WebClient::Options{settings_.authorities_file});
  }
  const std::string scheme = is_insecure(at->host) ? "http" : "https";
  THAW_CO_TRY(const net::WebUrl own, net::parse_web_url(scheme + "://" + at->host + "/"));
  const bool is_registry = request.url.origin() == own.origin();
  THAW_CO_TRY(request.addresses,
              co_await resolver_->resolve(request.url.host, at->workspace, resolve_limit));
  if (is_registry) {
    for (const net::IpAddress& address : request.addresses) {
      at->places.insert(address.place());
    }
    request.may_connect = [](const net::IpAddress& address) {
      return may_be_named(address.place()) && !is_address_of_functions(address);
    };
  } else {
    request.connection = net::WebRequest::Connection::own;
    request.may_connect = [from = *at](const net::IpAddress& address) {
      return may_lead_to(address.place(), from) && !is_address_of_functions(address);
    };
  }
  THAW_CO_TRY(net::WebAnswer answer, co_await web_->get(std::move(request)));
  if (is_registry && answer.peer) {
    // A connection that was kept leads where the name led then: it counts too, or who changes what
    // his name means would be taken for a neighbour of what it means now.
    at->places.insert(answer.peer->place());
  }
  co_return answer;
}

// The request and where its answers lead. `is_elsewhere`: the answer is not the registry's own.
async::Task<net::WebAnswer> RegistryClient::follow(std::shared_ptr<Repository> at,
                                                   Question question, bool* is_elsewhere) {
  net::WebUrl url = question.url;
  for (int hops = 0; hops <= most_redirects; ++hops) {
    net::WebRequest request;
    *is_elsewhere = url.origin() != question.url.origin();
    request.headers.emplace_back("user-agent", "thaw");
    if (!question.accept.empty()) {
      request.headers.emplace_back("accept", question.accept);
    }
    if (!question.range.empty()) {
      request.headers.emplace_back("range", question.range);
    }
    if (!*is_elsewhere && !at->authorization.empty()) {
      request.headers.emplace_back("authorization", at->authorization);
    }
    request.url = url;
    request.limit = question.limit;
    request.silence = question.sink ? silence_limit : Duration::zero();
    request.answer_bytes = question.answer_bytes;
    request.sink = question.sink;
    THAW_CO_TRY(net::WebAnswer answer, co_await send(at, std::move(request)));
    const auto location = answer.headers.find("location");
    if (!is_redirect(answer.status) || !location) {
      co_return answer;
    }
    auto next = net::join_web_url(url, *location);
    if (!next) {
      co_return Error::failed_precondition("it leads nowhere: " + next.error().message());
    }
    THAW_CO_TRY_VOID(check_scheme(*at, *next));
    url = std::move(*next);
  }
  co_return Error::failed_precondition("it leads on and on, by more than " +
                                       std::to_string(most_redirects) + " redirects");
}

// As often as it takes to find somebody who answers, within bounds.
async::Task<net::WebAnswer> RegistryClient::ask_patiently(std::shared_ptr<Repository> at,
                                                          Question question) {
  Duration pause = first_pause;
  for (int tries = 1;; ++tries) {
    bool is_elsewhere = false;
    auto answer = co_await follow(at, question, &is_elsewhere);
    const bool may_pass = answer ? answer->status == 429 || answer->status >= 500
                                 : answer.error().code() == Code::unavailable;
    // A sink has taken a part perhaps: who gave it goes on by himself.
    if (!may_pass || tries == most_tries || question.sink) {
      if (answer && is_elsewhere && answer->status == 401) {
        answer->status = 403;  // not the registry's own: it is no question for a login
      }
      co_return answer;
    }
    THAW_CO_TRY_VOID(co_await async::sleep_for(pause));
    pause *= 2;
  }
}

// With a login where the registry wants one.
async::Task<net::WebAnswer> RegistryClient::ask(std::shared_ptr<Repository> at, Question question) {
  const std::string what = question.what;
  const auto told = [&](const Error& error) {
    if (error.code() == Code::permission_denied) {
      return error;
    }
    const bool is_nobody =
        error.code() == Code::unavailable || error.code() == Code::deadline_exceeded;
    return Error(is_nobody ? Code::unavailable : error.code(),
                 "cannot pull " + what + ": the registry " + at->host +
                     (is_nobody ? " is not there: " : ": ") + error.message());
  };
  auto answer = co_await ask_patiently(at, question);
  if (answer && answer->status == 401) {
    if (auto logged_in = co_await log_in(at, answer->headers); !logged_in) {
      co_return told(logged_in.error());
    }
    answer = co_await ask_patiently(at, question);
  }
  if (!answer) {
    co_return told(answer.error());
  }
  switch (answer->status) {
    case 200:
    case 206: co_return std::move(*answer);
    case 401:
    case 403: co_return denied(*at, *answer);
    case 404:
      co_return Error::not_found("the registry " + at->host + " has no image " + what + ": " +
                                 said(*answer) + "; check its name and tag");
    case 429:
      co_return Error::resource_exhausted("cannot pull " + what + ": the registry " + at->host +
                                          " was asked too often; log in, or try again later");
    default:
      co_return Error(
          answer->status >= 500 ? Code::unavailable : Code::failed_precondition,
          "cannot pull " + what + ": the registry " + at->host + " fails: " + said(*answer));
  }
}

Error RegistryClient::denied(const Repository& at, const net::WebAnswer& answer) const {
  const std::string begin = "the registry " + at.host + " does not give " + at.path + " to ";
  if (at.login) {
    return Error::permission_denied(begin + "the user '" + at.login->user.substr(0, 100) +
                                    "' with this password: " + said(answer) +
                                    "; check the secret with the registry's user and password, "
                                    "and what that user may read");
  }
  return Error::permission_denied(
      begin + "who asks without a login: " + said(answer) +
      "; check the name, or give Image.from_registry a secret with REGISTRY_USERNAME and "
      "REGISTRY_PASSWORD");
}

async::Task<void> RegistryClient::log_in(std::shared_ptr<Repository> at,
                                         net::Headers said_headers) {
  std::optional<AuthChallenge> chosen;
  for (const auto& [name, value] : said_headers.fields) {
    const auto challenge =
        name == "www-authenticate" ? read_challenge(value) : std::optional<AuthChallenge>();
    // A token says what it is good for, a password everything.
    if (challenge && (!chosen || challenge->scheme == AuthChallenge::Scheme::bearer)) {
      chosen = challenge;
    }
  }
  if (!chosen) {
    co_return Error::failed_precondition(
        "it asks for a login of a kind that is not spoken here; Basic and Bearer are");
  }
  if (chosen->scheme == AuthChallenge::Scheme::basic) {
    at->authorization = at->login ? basic_authorization(*at->login) : "";
    co_return ok();  // without one the same answer comes again, and says what to do
  }
  net::WebRequest request;
  auto url = net::parse_web_url(token_address(*chosen, at->path));
  if (!url) {
    co_return Error::failed_precondition("it sends for a token to " + url.error().message());
  }
  THAW_CO_TRY_VOID(check_scheme(*at, *url));
  request.url = *url;
  request.headers.emplace_back("user-agent", "thaw");
  if (at->login) {
    request.headers.emplace_back("authorization", basic_authorization(*at->login));
  }
  request.limit = small_limit;
  request.answer_bytes = most_token_bytes;
  THAW_CO_TRY(const net::WebAnswer answer, co_await send(at, std::move(request)));
  if (answer.status == 401 || answer.status == 403) {
    co_return denied(*at, answer);
  }
  if (answer.status != 200) {
    co_return Error::failed_precondition("no token comes from " + url->origin() + ": " +
                                         said(answer));
  }
  const auto token = read_token(answer.body);
  if (!token) {
    co_return Error::failed_precondition("no token comes from " + url->origin() + ": " +
                                         token.error().message());
  }
  at->authorization = bearer_authorization(*token);
  co_return ok();
}

// Megabytes of a stranger's are not for the loop.
async::Task<std::string> RegistryClient::checked(std::shared_ptr<Repository> at, std::string body,
                                                 std::string digest, std::string what) {
  auto check = [body = std::move(body), digest, what]() mutable -> Result<std::string> {
    THAW_TRY_VOID(check_digest(body, digest, "cannot pull " + what));
    return std::move(body);
  };
  co_return co_await async::blocking(async::PoolShare{pool_, at->workspace}, std::move(check));
}

async::Task<std::string> RegistryClient::manifest(std::shared_ptr<Repository> at,
                                                  std::string reference) {
  if (at->is_local) {
    co_return co_await local_->manifest(at->workspace, at->path, std::move(reference));
  }
  Question question;
  const std::string scheme = is_insecure(at->host) ? "http" : "https";
  const bool by_digest = is_digest(reference);
  question.what = at->name() + (by_digest ? "@" : ":") + reference;
  THAW_CO_TRY(question.url, net::parse_web_url(scheme + "://" + at->host + "/v2/" + at->path +
                                               "/manifests/" + reference));
  question.accept = manifest_types;
  const std::string what = question.what;
  THAW_CO_TRY(net::WebAnswer answer, co_await ask(at, std::move(question)));
  if (answer.body.size() > most_manifest_bytes) {
    co_return Error::failed_precondition("cannot pull " + what + ": its manifest has more than " +
                                         std::to_string(most_manifest_bytes >> 20) + " MiB");
  }
  if (by_digest) {
    co_return co_await checked(at, std::move(answer.body), reference, what);
  }
  co_return std::move(answer.body);
}

async::Task<std::string> RegistryClient::small_blob(std::shared_ptr<Repository> at,
                                                    Descriptor wanted) {
  if (at->is_local) {
    co_return co_await local_->small_blob(at->workspace, at->path, wanted.digest);
  }
  Question question;
  const std::string scheme = is_insecure(at->host) ? "http" : "https";
  question.what = at->name() + "@" + short_digest(wanted.digest);
  THAW_CO_TRY(question.url, net::parse_web_url(scheme + "://" + at->host + "/v2/" + at->path +
                                               "/blobs/" + wanted.digest));
  question.answer_bytes =
      static_cast<std::size_t>(std::min<std::uint64_t>(wanted.size, most_manifest_bytes) + 1);
  const std::string what = question.what;
  THAW_CO_TRY(net::WebAnswer answer, co_await ask(at, std::move(question)));
  co_return co_await checked(at, std::move(answer.body), wanted.digest, what);
}

async::Task<void> RegistryClient::blob(std::shared_ptr<Repository> at, Descriptor wanted,
                                       std::shared_ptr<BlobFile> into) {
  Question question;
  const std::string scheme = is_insecure(at->host) ? "http" : "https";
  question.what = at->name() + "@" + short_digest(wanted.digest);
  THAW_CO_TRY(question.url, net::parse_web_url(scheme + "://" + at->host + "/v2/" + at->path +
                                               "/blobs/" + wanted.digest));
  const Instant until = monotonic_now() + blob_limit;
  question.sink = into;
  const std::string what = question.what;
  int tries_of_nothing = 0;
  Duration pause = first_pause;
  for (int breaks = 0; !into->is_whole(); ++breaks) {
    const std::uint64_t before = into->size();
    question.limit = until - monotonic_now();
    if (question.limit <= Duration::zero()) {
      co_return Error::deadline_exceeded("cannot pull " + what + ": the registry " + at->host +
                                         " has not sent it within two hours");
    }
    question.range = before == 0 ? "" : "bytes=" + std::to_string(before) + "-";
    const auto answer = co_await ask(at, question);
    if (into->failure()) {
      co_return Error(into->failure()->code(),
                      "cannot pull " + what + ": " + into->failure()->message());
    }
    if (!answer && answer.error().code() != Code::unavailable) {
      co_return answer.error();
    }
    tries_of_nothing = into->size() > before ? 0 : tries_of_nothing + 1;
    pause = into->size() > before ? first_pause : pause * 2;
    if (into->is_whole()) {
      break;
    }
    if (tries_of_nothing == most_tries_of_nothing || breaks == most_breaks) {
      co_return answer
          ? Error::failed_precondition("cannot pull " + what + ": the registry " + at->host +
                                       " sends " + std::to_string(into->size()) + " of its " +
                                       std::to_string(wanted.size) + " bytes and ends")
          : answer.error();
    }
    THAW_CO_TRY_VOID(co_await async::sleep_for(pause));
  }
  if (const auto checked = into->check(); !checked) {
    co_return Error(checked.error().code(),
                    "cannot pull " + what + ": " + checked.error().message());
  }
  co_return ok();
}

}  // namespace thaw::image
