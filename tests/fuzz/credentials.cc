// SPDX-License-Identifier: Apache-2.0
//
// Heads of requests of strangers: what shows a token, and signatures of AWS. A key that is read is
// read as the same when it is written anew, under every prefix; a token is found by headers that
// came; a signature that is read says all of its parts and can be computed over; what is refused is
// refused with a sentence. A line each: method, path, query, host, then names and values.
#include "thaw/gateway/credentials.h"

#include <algorithm>

#include "tests/fuzz/target.h"
#include "thaw/codec/sigv4.h"
#include "thaw/model/token.h"

namespace thaw::fuzz {

namespace {

void check_key(const codec::ApiKey& key) {
  for (const char* prefix : {"", "r8_", "sk-"}) {
    const auto again = codec::parse_api_key(codec::api_key_text(prefix, key));
    expect(again && *again == key, "a key is the same when it is written anew");
  }
}

void check_signature(const codec::SignedRequest& request) {
  const auto found = codec::read_sigv4(request);
  if (!found) {
    expect_sentence(found.error());
    return;
  }
  if (!*found) {
    return;
  }
  const codec::SigV4& signature = **found;
  expect(signature.signature.size() == 64, "a signature has 64 digits");
  expect(std::is_sorted(signature.signed_headers.begin(), signature.signed_headers.end()),
         "signed headers are in order");
  expect(std::binary_search(signature.signed_headers.begin(), signature.signed_headers.end(),
                            std::string("host")),
         "the host is signed");
  expect(signature.time.starts_with(signature.date), "its day is that of its time");
  (void)codec::check_time_of(signature, WallTime{});
  const std::string text = codec::canonical_request(request, signature, signature.payload,
                                                    codec::path_rule_of(signature.service));
  expect(text.starts_with(request.method), "what is signed begins with the method");
  expect(!codec::is_signed_by(request, signature, signature.payload, "nobody's"),
         "a key that nobody has signs nothing");
}

void check_grants(std::string_view words, std::string_view pattern) {
  if (const auto scopes = model::parse_scopes(words)) {
    expect(*model::parse_scopes(model::scopes_text(*scopes)) == *scopes,
           "scopes are the same when they are written anew");
  } else {
    expect_sentence(scopes.error());
  }
  if (const auto checked = model::check_function_pattern(pattern); !checked) {
    expect_sentence(checked.error());
  } else if (!pattern.empty()) {
    const model::Grants grants{model::all_scopes, std::string(pattern)};
    expect(!grants.names("a", "b") || grants.names_app("a"), "who names a function names its app");
  }
}

}  // namespace

void run(std::string_view input) {
  Bytes bytes(input);
  const std::string_view method = bytes.line();
  const std::string_view path = bytes.line();
  const std::string_view query = bytes.line();
  const std::string_view host = bytes.line();
  net::Headers headers;
  for (int i = 0; i < 20; ++i) {
    const std::string name(bytes.line());
    headers.add(name, std::string(bytes.line()));
  }
  const auto credential = gateway::credential_in(headers, {{"modal-key", "modal-secret"}});
  if (credential) {
    check_key(credential->key);
    for (const std::string& name : credential->headers) {
      expect(headers.find(name).has_value(), "a header that shows a token has come");
    }
  }
  if (const auto key = codec::parse_api_key(query)) {
    check_key(*key);
  } else {
    expect_sentence(key.error());
  }
  check_signature({method, path, query, host, headers.fields});
  check_grants(query, path);
}

}  // namespace thaw::fuzz
