// SPDX-License-Identifier: Apache-2.0
//
// What registries and archives say of images: any bytes are a value within its bounds, or an error
// that says why.
#include "thaw/image/image_manifest.h"

#include <string>

#include "tests/fuzz/target.h"
#include "thaw/image/image_name.h"
#include "thaw/image/registry_auth.h"

namespace thaw::fuzz {

using namespace thaw::image;

namespace {

const Platform amd64{"amd64"};

void check_manifest(std::string_view input) {
  const auto read = read_manifest(input, amd64);
  if (!read) {
    expect_sentence(read.error());
    return;
  }
  if (const auto* next = std::get_if<Descriptor>(&*read)) {
    expect(is_digest(next->digest), "an index leads to a digest");
    return;
  }
  const auto& manifest = std::get<Manifest>(*read);
  expect(manifest.layers.size() <= most_layers, "layers are bounded");
  expect(is_digest(manifest.config.digest) && manifest.config.size <= most_manifest_bytes,
         "a configuration has a digest and is small");
  for (const Descriptor& layer : manifest.layers) {
    expect(is_digest(layer.digest), "a layer has a digest");
  }
}

void check_config(std::string_view input) {
  const auto read = read_config_file(input, amd64);
  if (!read) {
    expect_sentence(read.error());
    return;
  }
  const ImageConfig& config = read->config;
  expect(config.workdir.empty() || config.workdir.starts_with('/'), "a folder is absolute");
  expect(config.stop_signal >= 0 && config.stop_signal <= 64, "a signal is one of Linux");
  for (const std::string& entry : config.env) {
    expect(entry.find('=') != std::string::npos && entry.find('\0') == std::string::npos,
           "a variable has a name and a value");
  }
}

void check_name(std::string_view input) {
  const auto name = parse_image_name(input);
  if (!name) {
    expect_sentence(name.error());
    return;
  }
  const auto again = parse_image_name(name->str());
  expect(again && again->str() == name->str(), "a name is the same when it is written anew");
  expect(name->host.empty() || is_registry_host(name->host), "a host is one");
  expect(name->path.find("..") == std::string::npos && name->path.front() != '/',
         "a path leads nowhere else");
}

void check_auth(std::string_view input) {
  if (const auto challenge = read_challenge(input)) {
    const std::string address = token_address(*challenge, "a/b");
    expect(challenge->scheme != AuthChallenge::Scheme::bearer || !challenge->realm.empty(),
           "a token is given out somewhere");
    expect(address.find("scope=") != std::string::npos, "it is asked for with a scope");
  }
  if (const auto token = read_token(input)) {
    expect(token->find_first_of(" \r\n") == std::string::npos, "a token is fit for a header");
  }
  expect(registry_complaint(input).size() <= 300, "a complaint is short");
}

}  // namespace

void run(std::string_view input) {
  check_manifest(input);
  check_config(input);
  check_name(input);
  check_auth(input);
}

}  // namespace thaw::fuzz
