// SPDX-License-Identifier: Apache-2.0
//
// What is looked at before stored data is used: whether the key of the stored secrets is theirs,
// and what becomes of logs that cannot be read. Nothing is given up in silence.
#pragma once

#include <memory>
#include <string>

#include "thaw/catalog/catalog.h"
#include "thaw/main/serve.h"
#include "thaw/store/database.h"
#include "thaw/store/secret_box.h"

namespace thaw::main_program {

// failed_precondition if secrets are stored and their key is not there.
Result<void> check_key_is_there(const std::string& key_file, const catalog::Catalog& catalog);
// Sets aside the secrets that do not open. failed_precondition if the key is another one than
// theirs and that loss is not accepted.
Result<void> check_secrets(const store::SecretBox& box, catalog::Catalog& catalog,
                           store::Database& database, ServeOptions::Loss loss);
// A damaged one is moved away, beside the new one: logs are not worth a server.
Result<std::unique_ptr<store::Database>> open_log_database(async::Loop& loop,
                                                           const std::string& data);
// The same of the ledger: what was used before is told no more, and what is used now is.
Result<std::unique_ptr<store::Database>> open_ledger_database(async::Loop& loop,
                                                              const std::string& data);

}  // namespace thaw::main_program
