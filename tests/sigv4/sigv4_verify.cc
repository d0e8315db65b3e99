// SPDX-License-Identifier: Apache-2.0
// Reads requests as they came over a connection (JSON: a secret access key, and of each request its
// method, target, host, headers and body) and says of each whether that key has signed it.
#include <iostream>
#include <iterator>

#include "thaw/codec/encoding.h"
#include "thaw/codec/json.h"
#include "thaw/codec/sha256.h"
#include "thaw/codec/sigv4.h"

using namespace thaw;

namespace {

std::string judge(const codec::Json& json, const std::string& secret) {
  std::vector<std::pair<std::string, std::string>> headers;
  for (const auto& header : json["headers"]) {
    headers.emplace_back(header[0].get<std::string>(), header[1].get<std::string>());
  }
  const auto method = json["method"].get<std::string>();
  const auto target = json["target"].get<std::string>();
  const auto host = json["host"].get<std::string>();
  const std::size_t mark = std::min(target.find('?'), target.size());
  const std::string path = target.substr(0, mark);
  const std::string query = target.substr(std::min(mark + 1, target.size()));
  const codec::SignedRequest request{method, path, query, host, headers};
  const auto signature = codec::read_sigv4(request);
  if (!signature || !*signature) {
    return signature ? "it is not signed" : signature.error().message();
  }
  if (const auto time = codec::check_time_of(**signature, wall_now()); !time) {
    return time.error().message();
  }
  codec::Sha256 digest;
  digest.update(codec::base64_decode(json["body"].get<std::string>()).value_or(""));
  const std::string body = digest.hex();
  const std::string& said = (*signature)->payload;
  if (said.size() == body.size() && said != body) {
    return "the body is another one";
  }
  return codec::is_signed_by(request, **signature, said.empty() ? body : said, secret)
             ? "signed"
             : "the signature is another one";
}

}  // namespace

int main() {
  const std::string text{std::istreambuf_iterator<char>(std::cin), {}};
  const auto all = codec::parse_json(text);
  if (!all) {
    std::cerr << all.error().to_string() << "\n";
    return 1;
  }
  for (const auto& request : (*all)["requests"]) {
    std::cout << judge(request, (*all)["secret"].get<std::string>()) << "\n";
  }
  return 0;
}
