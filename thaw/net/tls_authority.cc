// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/tls_authority.h"

#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <ctime>

#include "thaw/net/detail/tls_contexts.h"

namespace thaw::net {

namespace {

using Certificate = OpenSslPtr<X509, X509_free>;
using Key = OpenSslPtr<EVP_PKEY, EVP_PKEY_free>;
using Bio = OpenSslPtr<BIO, BIO_free_all>;

Error failed(const std::string& what) {
  return Error::internal(what + ": " + detail::openssl_reason());
}

bool is_address(const std::string& name) {
  std::array<unsigned char, sizeof(in6_addr)> bytes;
  return ::inet_pton(AF_INET, name.c_str(), bytes.data()) == 1 ||
         ::inet_pton(AF_INET6, name.c_str(), bytes.data()) == 1;
}

// Also what could be taken for more than one name where names are listed.
bool is_host(std::string_view name) {
  if (name.starts_with("*.")) {
    name.remove_prefix(2);
  }
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_';
  };
  return !name.empty() && name.size() <= 253 && name.front() != '.' && name.back() != '.' &&
         name.find("..") == std::string_view::npos && std::all_of(name.begin(), name.end(), fits);
}

std::string text_of(BIO* bio) {
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(bio, &bytes);
  return {bytes, static_cast<std::size_t>(std::max(size, 0L))};
}

std::time_t seconds_of(WallTime time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

Result<void> extend(X509* certificate, X509* issuer, int what, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const OpenSslPtr<X509_EXTENSION, X509_EXTENSION_free> extension(
      X509V3_EXT_conf_nid(nullptr, &context, what, value.c_str()));
  if (!extension || X509_add_ext(certificate, extension.get(), -1) != 1) {
    return failed("cannot make a certificate (" + value + ")");
  }
  return ok();
}

// With a number of its own, a name, a time and a key; not signed.
Result<Certificate> begin(const std::string& name, Validity validity, EVP_PKEY* key) {
  Certificate made(X509_new());
  std::array<unsigned char, 16> number;
  if (!made || RAND_bytes(number.data(), number.size()) != 1) {
    return failed("cannot make a certificate");
  }
  number[0] = static_cast<unsigned char>((number[0] & 0x7f) | 0x40);  // positive, and as long
  const OpenSslPtr<BIGNUM, BN_free> serial(BN_bin2bn(number.data(), number.size(), nullptr));
  X509_NAME* subject = X509_get_subject_name(made.get());
  const bool is_made =
      serial && BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(made.get())) != nullptr &&
      X509_set_version(made.get(), 2) == 1 &&  // the third
      X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                 reinterpret_cast<const unsigned char*>(name.data()),
                                 static_cast<int>(name.size()), -1, 0) == 1 &&
      ASN1_TIME_set(X509_getm_notBefore(made.get()), seconds_of(validity.from)) != nullptr &&
      ASN1_TIME_set(X509_getm_notAfter(made.get()), seconds_of(validity.until)) != nullptr &&
      X509_set_pubkey(made.get(), key) == 1;
  if (!is_made) {
    return failed("cannot make a certificate for " + name);
  }
  return made;
}

Result<PemPair> signed_by(X509* certificate, EVP_PKEY* key, EVP_PKEY* authority) {
  const Bio shown(BIO_new(BIO_s_mem()));
  const Bio secret(BIO_new(BIO_s_mem()));
  if (X509_sign(certificate, authority, EVP_sha256()) == 0 ||
      PEM_write_bio_X509(shown.get(), certificate) != 1 ||
      PEM_write_bio_PrivateKey(secret.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return failed("cannot sign a certificate");
  }
  return PemPair{text_of(shown.get()), text_of(secret.get())};
}

Result<Certificate> read_certificate(const std::string& pem) {
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  Certificate read(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  if (!read) {
    return Error::invalid_argument("this is no certificate in PEM: " + detail::openssl_reason());
  }
  return read;
}

Result<WallTime> time_of(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) {
    return Error::invalid_argument("the time of the certificate cannot be read");
  }
  return WallTime(std::chrono::seconds(::timegm(&parts)));
}

}  // namespace

Result<PemPair> make_authority(const std::string& name, Validity validity) {
  const Key key(EVP_EC_gen("P-256"));
  if (!key) {
    return failed("cannot make a key");
  }
  THAW_TRY(const Certificate made, begin(name, validity, key.get()));
  X509_set_issuer_name(made.get(), X509_get_subject_name(made.get()));
  THAW_TRY_VOID(
      extend(made.get(), made.get(), NID_basic_constraints, "critical,CA:TRUE,pathlen:0"));
  THAW_TRY_VOID(extend(made.get(), made.get(), NID_key_usage, "critical,keyCertSign,cRLSign"));
  THAW_TRY_VOID(extend(made.get(), made.get(), NID_subject_key_identifier, "hash"));
  return signed_by(made.get(), key.get(), key.get());
}

Result<PemPair> make_server_certificate(const PemPair& authority,
                                        const std::vector<std::string>& names, Validity validity) {
  THAW_TRY(const Certificate issuer, read_certificate(authority.certificate));
  const Bio bio(BIO_new_mem_buf(authority.key.data(), static_cast<int>(authority.key.size())));
  const Key issuers_key(PEM_read_bio_PrivateKey(
      bio.get(), nullptr, [](char*, int, int, void*) { return -1; }, nullptr));
  if (!issuers_key || X509_check_private_key(issuer.get(), issuers_key.get()) != 1) {
    return Error::invalid_argument("the key of the authority is not that of its certificate: " +
                                   detail::openssl_reason());
  }
  std::string listed;
  for (const std::string& name : names) {
    const bool is_ip = is_address(name);
    if (!is_ip && !is_host(name)) {
      return Error::invalid_argument("'" + name.substr(0, 100) +
                                     "' is no name of a host and no address");
    }
    listed += (listed.empty() ? "" : ",") + std::string(is_ip ? "IP:" : "DNS:") + name;
  }
  if (names.empty()) {
    return Error::invalid_argument("a certificate of a server is for at least one name");
  }
  const Key key(EVP_EC_gen("P-256"));
  if (!key) {
    return failed("cannot make a key");
  }
  // Who verifies looks at the list; the name is for people, and has 64 characters at most.
  THAW_TRY(const Certificate made, begin(names.front().substr(0, 64), validity, key.get()));
  X509_set_issuer_name(made.get(), X509_get_subject_name(issuer.get()));
  X509* own = made.get();
  THAW_TRY_VOID(extend(own, issuer.get(), NID_basic_constraints, "critical,CA:FALSE"));
  THAW_TRY_VOID(extend(own, issuer.get(), NID_key_usage, "critical,digitalSignature"));
  THAW_TRY_VOID(extend(own, issuer.get(), NID_ext_key_usage, "serverAuth"));
  THAW_TRY_VOID(extend(own, issuer.get(), NID_subject_key_identifier, "hash"));
  THAW_TRY_VOID(extend(own, issuer.get(), NID_authority_key_identifier, "keyid:always"));
  THAW_TRY_VOID(extend(own, issuer.get(), NID_subject_alt_name, listed));
  return signed_by(own, key.get(), issuers_key.get());
}

Result<CertificateFacts> facts_of_certificate(const std::string& pem) {
  THAW_TRY(const Certificate read, read_certificate(pem));
  CertificateFacts facts;
  THAW_TRY(facts.validity.from, time_of(X509_get0_notBefore(read.get())));
  THAW_TRY(facts.validity.until, time_of(X509_get0_notAfter(read.get())));
  auto* found = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(read.get(), NID_subject_alt_name, nullptr, nullptr));
  const OpenSslPtr<GENERAL_NAMES, GENERAL_NAMES_free> all(found);
  for (int i = 0; i < sk_GENERAL_NAME_num(found); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(found, i);
    const ASN1_STRING* text = name->type == GEN_DNS     ? name->d.dNSName
                              : name->type == GEN_IPADD ? name->d.iPAddress
                                                        : nullptr;
    if (text == nullptr) {
      continue;
    }
    const unsigned char* bytes = ASN1_STRING_get0_data(text);
    const auto size = static_cast<std::size_t>(ASN1_STRING_length(text));
    if (name->type == GEN_DNS) {
      facts.names.emplace_back(reinterpret_cast<const char*>(bytes), size);
    } else if (std::array<char, INET6_ADDRSTRLEN> out{}; size == 4 || size == 16) {
      ::inet_ntop(size == 4 ? AF_INET : AF_INET6, bytes, out.data(), out.size());
      facts.names.emplace_back(out.data());
    }
  }
  return facts;
}

}  // namespace thaw::net
