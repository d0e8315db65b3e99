// SPDX-License-Identifier: Apache-2.0
//
// Reading comes first, and is strict: a request that says one thing twice or leaves one out is
// refused before anything is computed. Then the canonical text, piece by piece, in the order in
// which it is put together.
#include "thaw/codec/sigv4.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <charconv>

#include "thaw/base/check.h"
#include "thaw/codec/encoding.h"
#include "thaw/codec/equal_bytes.h"
#include "thaw/codec/sha256.h"

namespace thaw::codec {

namespace {

using Pair = std::pair<std::string, std::string>;
using Pairs = std::vector<Pair>;

constexpr std::string_view algorithm = "AWS4-HMAC-SHA256";
constexpr std::string_view family = "AWS4-";
constexpr std::string_view scope_end = "aws4_request";
constexpr std::string_view by_address = "X-Amz-Signature=";
constexpr std::size_t most_signed_headers = 100;
constexpr std::size_t most_parameters = 1'000;
constexpr std::chrono::minutes skew{15};
constexpr std::chrono::seconds longest_presigned{7 * 24 * 3600};

std::string sha256_of(std::string_view bytes) {
  Sha256 digest;
  digest.update(bytes);
  return digest.hex();
}

std::string hmac(std::string_view key, std::string_view text) {
  unsigned char mac[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  THAW_CHECK(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
                  reinterpret_cast<const unsigned char*>(text.data()), text.size(), mac,
                  &size) != nullptr);
  return {reinterpret_cast<const char*>(mac), size};
}

bool are_digits(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool is_hex_digest(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Error wrong(std::string_view what) {
  return Error::invalid_argument("the AWS signature is not whole: " + std::string(what));
}

std::string encoded(std::string_view text, bool keeps_slashes) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~' ||
                          (keeps_slashes && c == '/');
    if (is_plain) {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += '%';
      out += digits[byte >> 4];
      out += digits[byte & 15];
    }
  }
  return out;
}

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(at);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) {
      return parts;
    }
    text.remove_prefix(end + 1);
  }
}

// A blank is "%20" or "+".
std::string decoded(std::string_view text) {
  std::string plain(text);
  std::replace(plain.begin(), plain.end(), '+', ' ');
  return percent_decode(plain);
}

// Decoded.
Pairs parameters_of(std::string_view query) {
  Pairs pairs;
  for (const std::string_view part : split(query, '&')) {
    if (!part.empty()) {
      const std::size_t equals = std::min(part.find('='), part.size());
      pairs.emplace_back(decoded(part.substr(0, equals)),
                         decoded(part.substr(std::min(equals + 1, part.size()))));
    }
  }
  return pairs;
}

const std::string* find_one(std::span<const Pair> pairs, std::string_view name) {
  const auto found = std::find_if(pairs.begin(), pairs.end(),
                                  [name](const auto& pair) { return pair.first == name; });
  return found == pairs.end() ? nullptr : &found->second;
}

bool is_there_twice(std::span<const Pair> pairs, std::string_view name) {
  return std::count_if(pairs.begin(), pairs.end(),
                       [name](const auto& pair) { return pair.first == name; }) > 1;
}

Result<void> read_credential(std::string_view text, SigV4& out) {
  const std::vector<std::string_view> parts = split(text, '/');
  if (parts.size() != 5 || parts[4] != scope_end || parts[0].empty() || parts[2].empty() ||
      parts[3].empty() || parts[1].size() != 8 || !are_digits(parts[1])) {
    return wrong("its Credential is to be ID/YYYYMMDD/REGION/SERVICE/aws4_request");
  }
  out.access_key_id = parts[0];
  out.date = parts[1];
  out.region = parts[2];
  out.service = parts[3];
  return ok();
}

Result<void> read_signed_headers(std::string_view text, SigV4& out) {
  for (const std::string_view name : split(text, ';')) {
    if (name.empty() || out.signed_headers.size() >= most_signed_headers ||
        (!out.signed_headers.empty() && out.signed_headers.back() >= name)) {
      return wrong("its SignedHeaders are to be names in order, each once, with ';' between");
    }
    out.signed_headers.emplace_back(name);
  }
  return ok();
}

bool is_signed(const SigV4& signature, std::string_view name) {
  return std::binary_search(signature.signed_headers.begin(), signature.signed_headers.end(), name);
}

// What a request must not say unsigned: where it goes, and what is addressed to the service.
Result<void> check_what_is_signed(const SignedRequest& request, const SigV4& signature) {
  if (!is_signed(signature, "host")) {
    return wrong("the header host has to be signed");
  }
  for (const auto& [name, value] : request.headers) {
    if (name.starts_with("x-amz-") && !is_signed(signature, name)) {
      return wrong("the header " + name.substr(0, 80) + " has to be signed");
    }
  }
  for (const std::string& name : signature.signed_headers) {
    if (name != "host" && find_one(request.headers, name) == nullptr) {
      return wrong("the header " + name.substr(0, 80) + " is signed and did not come");
    }
  }
  return ok();
}

Result<void> check_parts(const SignedRequest& request, const SigV4& signature) {
  const std::string& time = signature.time;
  if (time.size() != 16 || time[8] != 'T' || time[15] != 'Z' || !are_digits(time.substr(0, 8)) ||
      !are_digits(time.substr(9, 6))) {
    return wrong("its time is to be YYYYMMDDTHHMMSSZ, as x-amz-date");
  }
  if (time.substr(0, 8) != signature.date) {
    return wrong("its Credential is for another day than its time");
  }
  if (!is_hex_digest(signature.signature)) {
    return wrong("its Signature is to be 64 hex digits");
  }
  if (!signature.payload.empty() && !is_hex_digest(signature.payload) &&
      signature.payload != unsigned_payload && signature.payload != signed_chunks) {
    return wrong("x-amz-content-sha256 '" + signature.payload.substr(0, 80) + "' is not known");
  }
  // Of s3 only, whose files need not be read twice: anywhere else whoever saw the request could
  // send it once more with another body.
  if (signature.payload == unsigned_payload &&
      path_rule_of(signature.service) != SigV4Path::as_it_is) {
    return wrong("the body of a request to this service has to be signed");
  }
  return check_what_is_signed(request, signature);
}

Result<SigV4> read_header(const SignedRequest& request, std::string_view header) {
  SigV4 out;
  out.form = SigV4::Form::header;
  std::string_view rest = header.substr(std::min(header.find(' '), header.size()));
  if (header.substr(0, header.find(' ')) != algorithm) {
    return Error::unimplemented("requests are to be signed by " + std::string(algorithm) +
                                ", and not by another algorithm of AWS");
  }
  unsigned seen = 0;
  for (std::string_view part : split(rest, ',')) {
    part.remove_prefix(std::min(part.find_first_not_of(' '), part.size()));
    part = part.substr(0, part.find_last_not_of(' ') + 1);
    const std::string_view name = part.substr(0, part.find('='));
    const std::string_view value = part.substr(std::min(name.size() + 1, part.size()));
    const unsigned bit = name == "Credential"      ? 1
                         : name == "SignedHeaders" ? 2
                         : name == "Signature"     ? 4
                                                   : 0;
    if (bit == 0 || (seen & bit) != 0) {
      return wrong("Authorization is to have Credential, SignedHeaders and Signature, each once");
    }
    seen |= bit;
    if (bit == 1) {
      THAW_TRY_VOID(read_credential(value, out));
    } else if (bit == 2) {
      THAW_TRY_VOID(read_signed_headers(value, out));
    } else {
      out.signature = value;
    }
  }
  if (seen != 7) {
    return wrong("Authorization is to have Credential, SignedHeaders and Signature, each once");
  }
  for (const char* name : {"x-amz-date", "x-amz-content-sha256", "authorization"}) {
    if (is_there_twice(request.headers, name)) {
      return wrong(std::string("the header ") + name + " came twice");
    }
  }
  const std::string* time = find_one(request.headers, "x-amz-date");
  out.time = time == nullptr ? "" : *time;
  const std::string* payload = find_one(request.headers, "x-amz-content-sha256");
  out.payload = payload == nullptr ? "" : *payload;
  return out;
}

Result<SigV4> read_query(const SignedRequest& request, const Pairs& parameters) {
  SigV4 out;
  out.form = SigV4::Form::query;
  std::string values[6];
  constexpr std::string_view names[6] = {"X-Amz-Algorithm",     "X-Amz-Credential",
                                         "X-Amz-Date",          "X-Amz-Expires",
                                         "X-Amz-SignedHeaders", "X-Amz-Signature"};
  for (std::size_t i = 0; i < std::size(names); ++i) {
    const std::string* value = find_one(parameters, names[i]);
    if (value == nullptr || is_there_twice(parameters, names[i])) {
      return wrong("its query is to have " + std::string(names[i]) + " once");
    }
    values[i] = *value;
  }
  if (values[0] != algorithm) {
    return Error::unimplemented("requests are to be signed by " + std::string(algorithm) +
                                ", and not by another algorithm of AWS");
  }
  THAW_TRY_VOID(read_credential(values[1], out));
  out.time = values[2];
  std::int64_t seconds = 0;
  const auto [end, problem] =
      std::from_chars(values[3].data(), values[3].data() + values[3].size(), seconds);
  if (problem != std::errc() || end != values[3].data() + values[3].size() || seconds < 1 ||
      seconds > longest_presigned.count()) {
    return wrong("its X-Amz-Expires is to be 1 to 604800 seconds");
  }
  out.good_for = std::chrono::seconds(seconds);
  THAW_TRY_VOID(read_signed_headers(values[4], out));
  out.signature = values[5];
  const std::string* payload = find_one(request.headers, "x-amz-content-sha256");
  payload = payload == nullptr ? find_one(parameters, "X-Amz-Content-Sha256") : payload;
  if (payload != nullptr) {
    out.payload = *payload;
  } else if (path_rule_of(out.service) == SigV4Path::as_it_is) {
    out.payload = unsigned_payload;  // s3: an address is made before there is a body
  }
  return out;
}

// Dot segments and empty ones go; a slash at the end stays.
std::string normalized(std::string_view path) {
  std::vector<std::string_view> kept;
  for (const std::string_view part : split(path, '/')) {
    if (part == "..") {
      if (!kept.empty()) {
        kept.pop_back();
      }
    } else if (!part.empty() && part != ".") {
      kept.push_back(part);
    }
  }
  std::string out;
  for (const std::string_view part : kept) {
    out += "/" + std::string(part);
  }
  const bool ends_with_slash = path.ends_with('/') || path.ends_with("/.") || path.ends_with("/..");
  return out.empty() || ends_with_slash ? out + "/" : out;
}

std::string canonical_query(const SignedRequest& request, const SigV4& signature) {
  Pairs pairs = parameters_of(request.query);
  std::erase_if(pairs, [&signature](const auto& pair) {
    return signature.form == SigV4::Form::query && pair.first == "X-Amz-Signature";
  });
  for (auto& [name, value] : pairs) {
    name = encoded(name, false);
    value = encoded(value, false);
  }
  std::sort(pairs.begin(), pairs.end());
  std::string out;
  for (const auto& [name, value] : pairs) {
    out += (out.empty() ? "" : "&") + name + "=" + value;
  }
  return out;
}

// Without blanks at its ends, and with one in the place of several.
std::string trimmed(std::string_view value) {
  std::string out;
  for (const char c : value) {
    const bool is_blank = c == ' ' || c == '\t' || c == '\n';
    if (!is_blank) {
      out += c;
    } else if (!out.empty() && out.back() != ' ') {
      out += ' ';
    }
  }
  return out.ends_with(' ') ? out.substr(0, out.size() - 1) : out;
}

std::string canonical_headers(const SignedRequest& request, const SigV4& signature) {
  std::string out;
  for (const std::string& wanted : signature.signed_headers) {
    std::string values = wanted == "host" ? trimmed(request.host) : std::string();
    bool is_first = true;
    for (const auto& [name, value] : request.headers) {
      if (name == wanted && wanted != "host") {
        values += (is_first ? "" : ",") + trimmed(value);
        is_first = false;
      }
    }
    out += wanted + ":" + values + "\n";
  }
  return out;
}

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) {
    out += (out.empty() ? "" : ";") + name;
  }
  return out;
}

}  // namespace

std::string SigV4::scope() const {
  return date + "/" + region + "/" + service + "/" + std::string(scope_end);
}

SigV4Path path_rule_of(std::string_view service) {
  return service == "s3" ? SigV4Path::as_it_is : SigV4Path::normalized;
}

Result<std::optional<SigV4>> read_sigv4(const SignedRequest& request) {
  const std::string* header = find_one(request.headers, "authorization");
  const bool by_header = header != nullptr && header->starts_with(family);
  const bool by_query = request.query.starts_with(by_address) ||
                        request.query.find("&" + std::string(by_address)) != std::string_view::npos;
  if (!by_header && !by_query) {
    return std::optional<SigV4>();
  }
  if (by_header && by_query) {
    return wrong("it is both in the header and in the query");
  }
  if (std::count(request.query.begin(), request.query.end(), '&') >=
      static_cast<std::ptrdiff_t>(most_parameters)) {
    return wrong("the query has too many parameters");
  }
  THAW_TRY(SigV4 read, by_header ? read_header(request, *header)
                                 : read_query(request, parameters_of(request.query)));
  THAW_TRY_VOID(check_parts(request, read));
  return std::optional(std::move(read));
}

Result<void> check_time_of(const SigV4& signature, WallTime now) {
  const auto number = [&signature](std::size_t at, std::size_t letters) {
    int value = 0;
    std::from_chars(signature.time.data() + at, signature.time.data() + at + letters, value);
    return value;
  };
  using namespace std::chrono;
  const year_month_day day{year(number(0, 4)), month(static_cast<unsigned>(number(4, 2))),
                           std::chrono::day(static_cast<unsigned>(number(6, 2)))};
  if (!day.ok() || number(9, 2) > 23 || number(11, 2) > 59 || number(13, 2) > 59) {
    return wrong("its time is none");
  }
  const sys_seconds at =
      sys_days(day) + hours(number(9, 2)) + minutes(number(11, 2)) + seconds(number(13, 2));
  const auto age = duration_cast<seconds>(now.time_since_epoch()) - at.time_since_epoch();
  const seconds most = signature.form == SigV4::Form::query ? signature.good_for : seconds(skew);
  if (age < -skew) {
    return Error::unauthenticated(
        "the request is signed for a time to come: set the clock of who "
        "asks, or of this server");
  }
  if (age > most) {
    return Error::unauthenticated(signature.form == SigV4::Form::query
                                      ? "the time of this signed address is over"
                                      : "the request was signed more than a quarter of an hour "
                                        "ago: set the clock of who asks, or of this server");
  }
  return ok();
}

std::string canonical_request(const SignedRequest& request, const SigV4& signature,
                              std::string_view payload, SigV4Path path) {
  const std::string shown = path == SigV4Path::as_it_is
                                ? encoded(percent_decode(request.path), true)
                                : encoded(normalized(request.path), true);
  return std::string(request.method) + "\n" + (shown.empty() ? "/" : shown) + "\n" +
         canonical_query(request, signature) + "\n" + canonical_headers(request, signature) + "\n" +
         joined(signature.signed_headers) + "\n" + std::string(payload);
}

std::string string_to_sign(const SigV4& signature, std::string_view canonical) {
  return std::string(algorithm) + "\n" + signature.time + "\n" + signature.scope() + "\n" +
         sha256_of(canonical);
}

std::string signing_key(const SigV4& signature, std::string_view secret_access_key) {
  const std::string day = hmac("AWS4" + std::string(secret_access_key), signature.date);
  return hmac(hmac(hmac(day, signature.region), signature.service), scope_end);
}

std::string sign_sigv4(std::string_view signing_key, std::string_view text) {
  return hex_encode(hmac(signing_key, text));
}

bool is_signed_by(const SignedRequest& request, const SigV4& signature, std::string_view payload,
                  std::string_view secret_access_key) {
  const std::string canonical =
      canonical_request(request, signature, payload, path_rule_of(signature.service));
  const std::string right =
      sign_sigv4(signing_key(signature, secret_access_key), string_to_sign(signature, canonical));
  return equal_bytes(right, signature.signature);
}

SigV4Chunks::SigV4Chunks(const SigV4& of_request, std::string_view secret_access_key)
    : key_(signing_key(of_request, secret_access_key)),
      head_(std::string(algorithm) + "-PAYLOAD\n" + of_request.time + "\n" + of_request.scope() +
            "\n"),
      before_(of_request.signature) {}

bool SigV4Chunks::is_next(std::string_view bytes, std::string_view signature) {
  std::string right =
      sign_sigv4(key_, head_ + before_ + "\n" + sha256_of("") + "\n" + sha256_of(bytes));
  if (!equal_bytes(right, signature)) {
    return false;
  }
  before_ = std::move(right);
  return true;
}

}  // namespace thaw::codec
