// SPDX-License-Identifier: Apache-2.0
#include "thaw/catalog/secret_values.h"

namespace thaw::catalog {

Result<codec::Json> open_secret(const store::SecretBox& box, const model::Secret& secret) {
  THAW_TRY(const std::string text, box.unseal(secret.sealed, secret.id.str()));
  return codec::parse_json(text);
}

Result<void> seal_secret(const store::SecretBox& box, const codec::Json& values,
                         model::Secret& secret) {
  secret.keys.clear();
  for (const auto& [name, value] : values.items()) {
    if (name.empty() || name.find('=') != std::string::npos ||
        name.find('\0') != std::string::npos) {
      return Error::invalid_argument("'" + name +
                                     "' cannot be the name of an environment variable");
    }
    if (value.is_string() && value.get_ref<const std::string&>().find('\0') != std::string::npos) {
      return Error::invalid_argument("the value of '" + name +
                                     "' has a zero byte, which no environment variable can have");
    }
    secret.keys.push_back(name);
  }
  THAW_TRY(secret.sealed, box.seal(codec::dump_json(values), secret.id.str()));
  return ok();
}

Result<std::vector<std::string>> secret_env(const store::SecretBox& box,
                                            const model::Secret& secret) {
  THAW_TRY(const codec::Json values, open_secret(box, secret));
  std::vector<std::string> env;
  for (const auto& [name, value] : values.items()) {
    if (!value.is_string()) {
      return Error::data_loss("secret " + secret.id.str() + " holds a value that is no text");
    }
    env.push_back(name + "=" + value.get<std::string>());
  }
  return env;
}

}  // namespace thaw::catalog
