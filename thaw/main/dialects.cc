// SPDX-License-Identifier: Apache-2.0
#include "thaw/main/dialects.h"

#include "thaw/dialect/modal/modal_dialect.h"
#include "thaw/dialect/native/native_dialect.h"
#include "thaw/dialect/registry/registry_dialect.h"
#include "thaw/dialect/replicate/replicate_dialect.h"
#include "thaw/dialect/workers_ai/workers_ai_dialect.h"

namespace thaw::main_program {

std::vector<std::unique_ptr<gateway::Dialect>> make_dialects(const gateway::Owners& owners,
                                                             const Configuration& configuration) {
  dialect::modal::Options modal;
  modal.cache_folder = configuration.cache_folder;
  modal.ephemeral_volume_limit = std::chrono::seconds(configuration.ephemeral_volume_s);
  modal.keep_uploads = configuration.storage.keep_unused_mounts;

  std::vector<std::unique_ptr<gateway::Dialect>> dialects;
  dialects.push_back(std::make_unique<dialect::modal::ModalDialect>(owners, std::move(modal)));
  dialect::native::Options native;
  native.keep_versions = static_cast<std::size_t>(configuration.keep_versions);
  auto own = std::make_unique<dialect::native::NativeDialect>(owners, native);
  // A pushed image may be a model's.
  auto registry = std::make_unique<dialect::registry::RegistryDialect>(owners, own->images());
  dialects.push_back(std::move(own));
  dialects.push_back(std::move(registry));
  // Its clients need no dialect: they call what was pushed, and only their header is theirs.
  owners.access.add_credential_headers({"x-banana-api-key", ""});
  dialect::replicate::Options replicate;
  dialects.push_back(std::make_unique<dialect::replicate::ReplicateDialect>(owners, replicate));
  dialects.push_back(std::make_unique<dialect::workers_ai::WorkersAiDialect>(owners));
  return dialects;
}

}  // namespace thaw::main_program
