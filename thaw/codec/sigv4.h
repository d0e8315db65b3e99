// SPDX-License-Identifier: Apache-2.0
//
// Signature version 4 of AWS, from the side of who checks it, pure: what a request says of its
// signature (in its Authorization header, or in its query), the text that was signed, and whether a
// secret access key has signed it. A body that comes in signed chunks goes on from there. What is
// canonical:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "thaw/base/result.h"
#include "thaw/base/time.h"

namespace thaw::codec {

// A request as it came: the path and the query still encoded, header names in lower case.
struct SignedRequest {
  std::string_view method;
  std::string_view path;
  std::string_view query;
  std::string_view host;  // counts as the header "host"
  std::span<const std::pair<std::string, std::string>> headers;
};

// What may stand in the place of the body's SHA-256.
inline constexpr std::string_view unsigned_payload = "UNSIGNED-PAYLOAD";
inline constexpr std::string_view signed_chunks = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";

struct SigV4 {
  enum class Form { header, query } form = Form::header;
  std::string access_key_id;
  std::string date;  // "20260102": the day for which its key is
  std::string region;
  std::string service;
  std::string time;                         // "20260102T030405Z"
  std::chrono::seconds good_for{};          // query only
  std::vector<std::string> signed_headers;  // in order
  std::string signature;                    // hex
  std::string payload;  // what the request says of its body: 64 hex digits, or one of the above;
                        // empty: nothing

  std::string scope() const;  // "20260102/eu-west-1/lambda/aws4_request"
};

// How the path counts: encoded once, as it is (s3); or normalized and encoded once more (others).
enum class SigV4Path { as_it_is, normalized };
SigV4Path path_rule_of(std::string_view service);

// nullopt: it is not signed so. invalid_argument tells which part is wrong or missing;
// unimplemented names another signature algorithm of AWS.
Result<std::optional<SigV4>> read_sigv4(const SignedRequest& request);
// unauthenticated: signed too long ago, or in the future, by more than a quarter of an hour; or its
// own time is over.
Result<void> check_time_of(const SigV4& signature, WallTime now);

// The text whose digest is signed. `payload`: the body's SHA-256, or what stands in its place.
std::string canonical_request(const SignedRequest& request, const SigV4& signature,
                              std::string_view payload, SigV4Path path);
std::string string_to_sign(const SigV4& signature, std::string_view canonical);
// The key for one day, region and service: raw bytes.
std::string signing_key(const SigV4& signature, std::string_view secret_access_key);
// Hex.
std::string sign_sigv4(std::string_view signing_key, std::string_view text);

// Whether `secret_access_key` has made it. In as much time whether it has or not.
bool is_signed_by(const SignedRequest& request, const SigV4& signature, std::string_view payload,
                  std::string_view secret_access_key);

// The chunks of a body that is signed_chunks: each signature covers the one before, the first that
// of the request; the last chunk is empty.
class SigV4Chunks {
 public:
  SigV4Chunks(const SigV4& of_request, std::string_view secret_access_key);
  // Whether these bytes are next.
  bool is_next(std::string_view bytes,  // tidy(unused): no dialect takes such bodies yet
               std::string_view signature);

 private:
  std::string key_;
  std::string head_;
  std::string before_;
};

}  // namespace thaw::codec
