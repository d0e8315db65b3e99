// SPDX-License-Identifier: Apache-2.0
//
// The published vectors: the signature test suite of AWS (service "service", key of 2015), the
// example of the general reference (iam), and the examples of S3's documentation.
#include "thaw/codec/sigv4.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "thaw/codec/sha256.h"

using namespace thaw;
using codec::SignedRequest;
using codec::SigV4;

namespace {

using Headers = std::vector<std::pair<std::string, std::string>>;

constexpr const char* suite_key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
constexpr const char* s3_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

std::string sha256_of(std::string_view bytes) {
  codec::Sha256 digest;
  digest.update(bytes);
  return digest.hex();
}

std::string authorization(const char* scope, const char* names, const char* signature) {
  return std::string("AWS4-HMAC-SHA256 Credential=") + scope +
         "/aws4_request, SignedHeaders=" + names + ", Signature=" + signature;
}

struct Vector {
  const char* name;
  const char* method;
  const char* path;
  const char* query;
  const char* body;
  const char* signed_headers;
  const char* signature;
  Headers more = {};
};

// A request of the suite, signed so.
struct Made {
  const Vector* vector;
  Headers headers;
  explicit Made(const Vector& v) : vector(&v), headers(v.more) {
    headers.emplace_back("x-amz-date", "20150830T123600Z");
    headers.emplace_back("authorization", authorization("AKIDEXAMPLE/20150830/us-east-1/service",
                                                        v.signed_headers, v.signature));
  }
  SignedRequest request() const {
    return {vector->method, vector->path, vector->query, "example.amazonaws.com", headers};
  }
};

const Vector suite[] = {
    {"get-vanilla", "GET", "/", "", "", "host;x-amz-date",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"post-vanilla", "POST", "/", "", "", "host;x-amz-date",
     "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
    {"get-vanilla-query-order-key-case", "GET", "/", "Param2=value2&Param1=value1", "",
     "host;x-amz-date", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
    {"get-utf8", "GET", "/\xe1\x88\xb4", "", "", "host;x-amz-date",
     "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
    {"get-space", "GET", "/example space/", "", "", "host;x-amz-date",
     "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"},
    {"get-slashes", "GET", "//example//", "", "", "host;x-amz-date",
     "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"},
    {"get-relative", "GET", "/example/..", "", "", "host;x-amz-date",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"get-slash-dot-slash", "GET", "/./", "", "", "host;x-amz-date",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"get-header-value-trim",
     "GET",
     "/",
     "",
     "",
     "host;my-header1;my-header2;x-amz-date",
     "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
     {{"my-header1", " value1"}, {"my-header2", " \"a   b   c\""}}},
    {"post-x-www-form-urlencoded",
     "POST",
     "/",
     "",
     "Param1=value1",
     "content-type;host;x-amz-date",
     "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
     {{"content-type", "application/x-www-form-urlencoded"}}},
};

SigV4 read(const SignedRequest& request) {
  const auto found = codec::read_sigv4(request);
  CAPTURE((found ? "" : found.error().message()));
  REQUIRE(found);
  REQUIRE(*found);
  return **found;
}

constexpr const char* s3_scope = "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3";

}  // namespace

TEST_CASE("what AWS's test suite has signed is signed so") {
  for (const Vector& vector : suite) {
    CAPTURE(vector.name);
    const Made made(vector);
    const SigV4 signature = read(made.request());
    CHECK(signature.scope() == "20150830/us-east-1/service/aws4_request");
    CHECK(codec::is_signed_by(made.request(), signature, sha256_of(vector.body), suite_key));
    CHECK_FALSE(codec::is_signed_by(made.request(), signature, sha256_of("x"), suite_key));
    CHECK_FALSE(codec::is_signed_by(made.request(), signature, sha256_of(vector.body), s3_key));
  }
}

TEST_CASE("the example of the general reference, step by step") {
  const Headers headers = {
      {"content-type", "application/x-www-form-urlencoded; charset=utf-8"},
      {"x-amz-date", "20150830T123600Z"},
      {"authorization",
       authorization("AKIDEXAMPLE/20150830/us-east-1/iam", "content-type;host;x-amz-date",
                     "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7")}};
  const SignedRequest request{"GET", "/", "Action=ListUsers&Version=2010-05-08",
                              "iam.amazonaws.com", headers};
  const SigV4 signature = read(request);
  const std::string canonical =
      codec::canonical_request(request, signature, sha256_of(""), codec::path_rule_of("iam"));
  CHECK(sha256_of(canonical) == "f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59");
  CHECK(codec::string_to_sign(signature, canonical) ==
        "AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/iam/aws4_request\n"
        "f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59");
  CHECK(codec::is_signed_by(request, signature, sha256_of(""), suite_key));
}

TEST_CASE("the examples of S3: a request, an address, and chunks") {
  const std::string host = "examplebucket.s3.amazonaws.com";
  const Headers ranged = {
      {"range", "bytes=0-9"},
      {"x-amz-content-sha256", sha256_of("")},
      {"x-amz-date", "20130524T000000Z"},
      {"authorization", authorization(s3_scope, "host;range;x-amz-content-sha256;x-amz-date",
                                      "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036b"
                                      "db41")}};
  const SignedRequest get{"GET", "/test.txt", "", host, ranged};
  CHECK(codec::is_signed_by(get, read(get), read(get).payload, s3_key));

  const Headers none;
  const std::string query =
      "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-"
      "1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders="
      "host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
  const SignedRequest address{"GET", "/test.txt", query, host, none};
  const SigV4 signature = read(address);
  CHECK(signature.form == SigV4::Form::query);
  CHECK(signature.payload == codec::unsigned_payload);
  CHECK(signature.good_for == std::chrono::hours(24));
  CHECK(codec::is_signed_by(address, signature, signature.payload, s3_key));

  const Headers chunked = {
      {"content-encoding", "aws-chunked"},
      {"content-length", "66824"},
      {"x-amz-content-sha256", std::string(codec::signed_chunks)},
      {"x-amz-date", "20130524T000000Z"},
      {"x-amz-decoded-content-length", "66560"},
      {"x-amz-storage-class", "REDUCED_REDUNDANCY"},
      {"authorization",
       authorization(s3_scope,
                     "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;"
                     "x-amz-decoded-content-length;x-amz-storage-class",
                     "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9")}};
  const SignedRequest put{"PUT", "/examplebucket/chunkObject.txt", "", "s3.amazonaws.com", chunked};
  const SigV4 seed = read(put);
  CHECK(codec::is_signed_by(put, seed, seed.payload, s3_key));
  codec::SigV4Chunks chunks(seed, s3_key);
  const std::string first(65'536, 'a');
  CHECK_FALSE(
      chunks.is_next(first, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"));
  CHECK(chunks.is_next(first, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"));
  CHECK_FALSE(
      chunks.is_next(first, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"));
  CHECK(chunks.is_next(std::string(1'024, 'a'),
                       "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"));
  CHECK(chunks.is_next("", "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"));
}

TEST_CASE("no part of a signed request can be another") {
  const Vector& vector = suite[9];
  const Made right(vector);
  const SigV4 signature = read(right.request());
  const std::string payload = sha256_of(vector.body);
  const auto holds = [&](const SignedRequest& request) {
    return codec::is_signed_by(request, signature, payload, suite_key);
  };
  REQUIRE(holds(right.request()));
  SignedRequest other = right.request();
  other.method = "PUT";
  CHECK_FALSE(holds(other));
  other = right.request();
  other.path = "/x";
  CHECK_FALSE(holds(other));
  other = right.request();
  other.query = "a";
  CHECK_FALSE(holds(other));
  other = right.request();
  other.host = "example.amazonaws.com.evil";
  CHECK_FALSE(holds(other));
  Made changed(vector);
  changed.headers[0].second += "; charset=utf-8";
  CHECK_FALSE(holds(changed.request()));
  Made doubled(vector);
  doubled.headers.emplace_back("content-type", "text/html");
  CHECK_FALSE(holds(doubled.request()));
}

TEST_CASE("a signature that is not whole is refused before anything is computed") {
  struct Row {
    const char* from;
    const char* to;
  };
  for (const Row& row :
       {Row{"Credential=", "Credentials="}, Row{"/aws4_request", "/aws3_request"},
        Row{"/20150830/", "/2015083/"}, Row{"/20150830/", "/20150831/"},
        Row{"host;x-amz-date", "x-amz-date;host"}, Row{"host;x-amz-date", "host;host;x-amz-date"},
        Row{"host;x-amz-date", "x-amz-date"}, Row{"host;x-amz-date", "host"},
        Row{"host;x-amz-date", "host;nothing;x-amz-date"}, Row{"host;x-amz-date", ""},
        Row{"Signature=5f", "Signature=XX"}, Row{"Signature=5f", "Signature="},
        Row{", Signature", ", Nothing=1, Sig"}, Row{"AKIDEXAMPLE", ""}, Row{"us-east-1", ""},
        Row{"Credential=", "Signature=5f, Credential="}}) {
    CAPTURE(row.from);
    CAPTURE(row.to);
    Made made(suite[0]);
    std::string& header = made.headers.back().second;
    REQUIRE(header.find(row.from) != std::string::npos);
    header.replace(header.find(row.from), std::string_view(row.from).size(), row.to);
    const auto found = codec::read_sigv4(made.request());
    REQUIRE_FALSE(found);
    CHECK(found.error().code() == Code::invalid_argument);
  }
  Made other(suite[0]);
  other.headers.back().second.replace(0, 16, "AWS4-ECDSA-P256-SHA256");
  const auto found = codec::read_sigv4(other.request());
  REQUIRE_FALSE(found);
  CHECK(found.error().code() == Code::unimplemented);
  Made undated(suite[0]);
  undated.headers.front().second = "2015-08-30";
  CHECK_FALSE(codec::read_sigv4(undated.request()));
  Made twice(suite[0]);
  twice.headers.emplace_back("x-amz-date", "20150830T123600Z");
  CHECK_FALSE(codec::read_sigv4(twice.request()));
  Made told(suite[0]);
  told.headers.emplace_back("x-amz-target", "Delete");
  CHECK_FALSE(codec::read_sigv4(told.request()));
  Made both(suite[0]);
  SignedRequest request = both.request();
  request.query = "X-Amz-Signature=1";
  CHECK_FALSE(codec::read_sigv4(request));
  request.query = "a=b&X-Amz-Signature=1";
  CHECK_FALSE(codec::read_sigv4(request));
  request.query = "notX-Amz-Signature=1";
  CHECK(codec::read_sigv4(request));
}

TEST_CASE("what is not signed by AWS's scheme is nothing of it") {
  for (const char* value : {"", "Bearer AWS4", "Basic YTpi", "aws4-hmac-sha256"}) {
    const Headers headers = {{"authorization", value}};
    const auto found = codec::read_sigv4({"GET", "/", "a=b", "host", headers});
    REQUIRE(found);
    CHECK_FALSE(*found);
  }
}

TEST_CASE("a signature is good for a quarter of an hour around its time, an address for its own") {
  const Made made(suite[0]);
  SigV4 signature = read(made.request());
  const WallTime signed_at{1'440'938'160s};  // 2015-08-30 12:36:00
  CHECK(codec::check_time_of(signature, signed_at));
  CHECK(codec::check_time_of(signature, signed_at + 15min));
  CHECK(codec::check_time_of(signature, signed_at - 15min));
  CHECK_FALSE(codec::check_time_of(signature, signed_at + 15min + 1s));
  CHECK_FALSE(codec::check_time_of(signature, signed_at - 15min - 1s));
  signature.form = SigV4::Form::query;
  signature.good_for = 60s;
  CHECK(codec::check_time_of(signature, signed_at + 60s));
  const auto late = codec::check_time_of(signature, signed_at + 61s);
  REQUIRE_FALSE(late);
  CHECK(late.error().code() == Code::unauthenticated);
  signature.time = "20150230T123600Z";
  CHECK_FALSE(codec::check_time_of(signature, signed_at));
  signature.time = "20150830T253600Z";
  CHECK_FALSE(codec::check_time_of(signature, signed_at));
}

TEST_CASE("an address that is signed says each of its parts once") {
  const Headers none;
  const std::string query =
      "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=A%2F20130524%2Fr%2Fs3%2Faws4_request&"
      "X-Amz-Date=20130524T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=" +
      std::string(64, 'a');
  const auto outcome = [&none](const std::string& text) {
    return codec::read_sigv4({"GET", "/", text, "host", none}).has_value();
  };
  CHECK(outcome(query));
  CHECK_FALSE(outcome(query + "&X-Amz-Expires=600000"));
  for (const char* wrong :
       {"Expires=0", "Expires=604801", "Expires=-1", "Expires=6x", "Expires="}) {
    std::string other = query;
    other.replace(other.find("Expires=60"), 10, wrong);
    CAPTURE(wrong);
    CHECK_FALSE(outcome(other));
  }
  CHECK_FALSE(outcome(query.substr(query.find("X-Amz-Date"))));
  std::string many = query;
  for (int i = 0; i < 1'000; ++i) {
    many += "&a=b";
  }
  CHECK_FALSE(outcome(many));
}

TEST_CASE("a body is left out of the signature for files only") {
  for (const char* service : {"s3", "lambda"}) {
    const std::string scope = std::string("A/20130524/r/") + service;
    const Headers headers = {
        {"x-amz-content-sha256", std::string(codec::unsigned_payload)},
        {"x-amz-date", "20130524T000000Z"},
        {"authorization", authorization(scope.c_str(), "host;x-amz-content-sha256;x-amz-date",
                                        std::string(64, 'a').c_str())}};
    const auto found = codec::read_sigv4({"PUT", "/f", "", "host", headers});
    CHECK(found.has_value() == (std::string_view(service) == "s3"));
  }
}
