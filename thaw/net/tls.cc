// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/tls.h"

#include <openssl/pem.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <fstream>

#include "thaw/net/detail/tls_contexts.h"
#include "thaw/net/tls_authority.h"

namespace thaw::net {

namespace {

// HTTP/2 asks for these of TLS 1.2; TLS 1.3 has no others.
constexpr const char* ciphers = "ECDHE+AESGCM:ECDHE+CHACHA20";
constexpr std::size_t most_files = 1'000;
constexpr std::size_t most_bytes = 1u << 20;

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) {
    return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  });
  return out;
}

Result<std::string> text_of(const std::string& path, const char* what) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::string text(most_bytes + 1, '\0');
  if (file) {
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(file.gcount()));
  }
  if (!file.is_open() || file.bad() || text.size() > most_bytes) {
    const std::string sentence = "cannot read the " + std::string(what) + " " + path;
    return errno != 0 ? Error::from_errno(errno, sentence)
                      : Error::invalid_argument(sentence + ": it is no file of at most 1 MiB");
  }
  return text;
}

Error bad(const std::string& path, const std::string& why) {
  return Error::invalid_argument("the certificate " + path + " cannot be used: " + why);
}

using Certificate = OpenSslPtr<X509, X509_free>;
using Key = OpenSslPtr<EVP_PKEY, EVP_PKEY_free>;
using Bio = OpenSslPtr<BIO, BIO_free_all>;

int no_passphrase(char*, int, int, void*) { return -1; }

Bio bio_of(const std::string& text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

std::string day_of(WallTime time) {
  const std::time_t seconds =
      std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M UTC", &parts);
  return text.data();
}

// In the order of the server; what it does not know is for others.
int choose_protocol(SSL* connection, const unsigned char** chosen, unsigned char* chosen_size,
                    const unsigned char* offered, unsigned int offered_size, void*) {
  if (SSL_get_app_data(connection) != nullptr) {
    return SSL_TLSEXT_ERR_NOACK;  // who is behind it speaks what it speaks
  }
  static constexpr unsigned char own[] = "\x02h2\x08http/1.1";
  unsigned char* found = nullptr;
  if (SSL_select_next_proto(&found, chosen_size, own, sizeof own - 1, offered, offered_size) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *chosen = found;
  return SSL_TLSEXT_ERR_OK;
}

int choose_certificate(SSL* connection, int*, void* argument) {
  const auto& contexts = *static_cast<const TlsIdentities::Contexts*>(argument);
  const char* name = SSL_get_servername(connection, TLSEXT_NAMETYPE_host_name);
  SSL_set_SSL_CTX(connection, contexts.of(name != nullptr ? name : ""));
  return SSL_TLSEXT_ERR_OK;
}

Result<TlsIdentities::Contexts::One> read_one(const TlsFiles& files, WallTime now) {
  THAW_TRY(const std::string chain, text_of(files.certificate, "certificate"));
  THAW_TRY(const std::string key_text, text_of(files.key, "key"));
  TlsIdentities::Contexts::One one;
  one.context.reset(SSL_CTX_new(TLS_server_method()));
  SSL_CTX* context = one.context.get();
  if (context == nullptr) {
    return Error::internal("no TLS here: " + detail::openssl_reason());
  }
  const Bio certificates = bio_of(chain);
  const Certificate own(PEM_read_bio_X509(certificates.get(), nullptr, no_passphrase, nullptr));
  if (!own) {
    return bad(files.certificate, "no certificate in PEM is in it: " + detail::openssl_reason());
  }
  THAW_TRY(const CertificateFacts facts, facts_of_certificate(chain));
  const WallTime since = facts.validity.from;
  one.valid_until = facts.validity.until;
  if (now < since || now >= one.valid_until) {
    return bad(files.certificate, "it is valid from " + day_of(since) + " to " +
                                      day_of(one.valid_until) + ", and now it is " + day_of(now) +
                                      "; put a new one in its place (`thaw tls renew` makes one "
                                      "where `thaw tls init` has made this)");
  }
  const Bio keys = bio_of(key_text);
  const Key key(PEM_read_bio_PrivateKey(keys.get(), nullptr, no_passphrase, nullptr));
  if (!key) {
    return Error::invalid_argument("the key " + files.key +
                                   " cannot be used: no private key in PEM without a passphrase "
                                   "is in it: " +
                                   detail::openssl_reason());
  }
  if (SSL_CTX_use_certificate(context, own.get()) != 1) {
    return bad(files.certificate, detail::openssl_reason());
  }
  // The library compares keys of one kind only.
  if (X509_check_private_key(own.get(), key.get()) != 1 ||
      SSL_CTX_use_PrivateKey(context, key.get()) != 1) {
    return Error::invalid_argument("the key " + files.key + " is not that of the certificate " +
                                   files.certificate + ": " + detail::openssl_reason());
  }
  while (X509* next = PEM_read_bio_X509(certificates.get(), nullptr, no_passphrase, nullptr)) {
    if (SSL_CTX_add0_chain_cert(context, next) != 1) {
      X509_free(next);
      return bad(files.certificate, detail::openssl_reason());
    }
  }
  ERR_clear_error();  // the end of the file is one
  for (const std::string& name : files.names.empty() ? facts.names : files.names) {
    one.names.push_back(lower(name));
  }
  return one;
}

Result<void> set_up(SSL_CTX* context, TlsIdentities::Contexts& contexts) {
  static constexpr unsigned char resumed_as[] = "thaw";
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_read_ahead(context, 1);
  // Who comes again shows a ticket; nothing is kept here for it.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 1);
  SSL_CTX_set_alpn_select_cb(context, choose_protocol, nullptr);
  SSL_CTX_set_tlsext_servername_callback(context, choose_certificate);
  SSL_CTX_set_tlsext_servername_arg(context, &contexts);
  if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
      SSL_CTX_set_cipher_list(context, ciphers) != 1 ||
      SSL_CTX_set_session_id_context(context, resumed_as, sizeof resumed_as - 1) != 1) {
    return Error::internal("TLS cannot be set up: " + detail::openssl_reason());
  }
  return ok();
}

bool covers(std::string_view wildcard, std::string_view name) {
  const std::size_t dot = name.find('.');
  return wildcard.starts_with("*.") && dot != std::string_view::npos && dot > 0 &&
         wildcard.substr(1) == name.substr(dot);
}

}  // namespace

namespace detail {

std::string openssl_reason() {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return reason != nullptr ? reason : "the TLS library does not say why";
}

}  // namespace detail

SSL_CTX* TlsIdentities::Contexts::of(std::string_view asked) const {
  const std::string name = lower(asked);
  for (const auto& matches :
       {+[](std::string_view own, std::string_view n) { return own == n; },
        +[](std::string_view own, std::string_view n) { return covers(own, n); }}) {
    for (const One& one : all) {
      if (std::any_of(one.names.begin(), one.names.end(),
                      [&](const std::string& own) { return matches(own, name); })) {
        return one.context.get();
      }
    }
  }
  return all.front().context.get();
}

TlsIdentities::TlsIdentities(std::unique_ptr<Contexts> contexts) : contexts_(std::move(contexts)) {}
TlsIdentities::~TlsIdentities() = default;

Result<std::shared_ptr<const TlsIdentities>> TlsIdentities::read(const std::vector<TlsFiles>& files,
                                                                 WallTime now) {
  if (files.empty() || files.size() > most_files) {
    return Error::invalid_argument("TLS takes 1 to 1000 certificates");
  }
  auto contexts = std::make_unique<Contexts>();
  for (const TlsFiles& one : files) {
    THAW_TRY(auto read, read_one(one, now));
    contexts->all.push_back(std::move(read));
  }
  for (const Contexts::One& one : contexts->all) {
    THAW_TRY_VOID(set_up(one.context.get(), *contexts));
  }
  return std::shared_ptr<const TlsIdentities>(new TlsIdentities(std::move(contexts)));
}

std::vector<std::string> TlsIdentities::names() const {
  std::vector<std::string> names;
  for (const Contexts::One& one : contexts_->all) {
    names.insert(names.end(), one.names.begin(), one.names.end());
  }
  return names;
}

WallTime TlsIdentities::valid_until() const {
  WallTime earliest = WallTime::max();
  for (const Contexts::One& one : contexts_->all) {
    earliest = std::min(earliest, one.valid_until);
  }
  return earliest;
}

}  // namespace thaw::net
