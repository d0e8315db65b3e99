// SPDX-License-Identifier: Apache-2.0
#include "thaw/main/stored_data.h"

#include <algorithm>
#include <filesystem>
#include <utility>
#include <vector>

#include "thaw/base/log.h"
#include "thaw/catalog/secret_values.h"
#include "thaw/logs/log_hub.h"
#include "thaw/meter/stored_ledger.h"

namespace thaw::main_program {

namespace fs = std::filesystem;

namespace {

constexpr const char* way_out =
    "; put the right one back from a backup, or start once with --accept-loss to go on without "
    "these secrets";

// One row: of the key that the stored secrets are sealed with.
enum class KeyColumn { one, fingerprint };
constexpr store::Column key_columns[] = {{"one", store::Type::integer},
                                         {"fingerprint", store::Type::text}};
constexpr store::Table<KeyColumn> secret_key("secret_key", key_columns, {KeyColumn::one},
                                             store::Rows::numbered);

Result<std::string> known_fingerprint(store::Database& database) {
  std::string known;
  THAW_TRY_VOID(database.read_now([&known](store::Transaction& transaction) {
    return transaction.scan(
        secret_key, {}, {KeyColumn::fingerprint},
        [&known](const store::Row<KeyColumn>& row) { known = row.text(KeyColumn::fingerprint); });
  }));
  return known;
}

}  // namespace

Result<void> check_key_is_there(const std::string& key_file, const catalog::Catalog& catalog) {
  const std::size_t secrets = catalog.secrets.all().size();
  std::error_code unreadable;  // what is wrong with it, its reader says
  if (secrets == 0 || fs::exists(key_file, unreadable) || unreadable) {
    return ok();
  }
  return Error::failed_precondition(key_file + " is missing, and " + std::to_string(secrets) +
                                    " stored secrets are sealed with it" + way_out);
}

Result<void> check_secrets(const store::SecretBox& box, catalog::Catalog& catalog,
                           store::Database& database, ServeOptions::Loss loss) {
  std::vector<std::string> closed;
  for (const auto& [id, secret] : catalog.secrets.all()) {
    if (!catalog::secret_env(box, *secret)) {
      closed.push_back(id);
    }
  }
  const std::size_t all = catalog.secrets.all().size();
  const std::string mine = box.sign("secret.key", "fingerprint").substr(0, 32);
  THAW_TRY(const std::string known, known_fingerprint(database));
  // A folder from before fingerprints: one that opens nothing is not theirs.
  const bool another = known.empty() ? closed.size() == all && all > 1 : known != mine && all > 0;
  if (another && loss == ServeOptions::Loss::refuse) {
    return Error::failed_precondition("secret.key is not the key that the " + std::to_string(all) +
                                      " stored secrets were sealed with" + way_out);
  }
  for (const std::string& id : closed) {
    catalog.secrets.set_aside(
        id, another ? "it does not open with this key" : "what is sealed in it is damaged");
  }
  if (known != mine) {
    database.write_later([mine](store::Transaction& transaction) {
      return transaction.put(secret_key, {{KeyColumn::one, 1}, {KeyColumn::fingerprint, mine}});
    });
  }
  return ok();
}

namespace {

// What cannot be read is moved aside, as `what` says, and a new one begins.
Result<std::unique_ptr<store::Database>> open_or_begin(async::Loop& loop,
                                                       const store::DatabaseOptions& options,
                                                       const std::string& what) {
  // What is no file SQLite would wait for, or refuse for ever; a link to one is somebody's choice.
  const char* const suffixes[] = {"", "-wal", "-shm", "-journal", "-commits"};
  const bool is_odd =
      std::any_of(std::begin(suffixes), std::end(suffixes), [&](const char* suffix) {
        std::error_code unreadable;
        const auto status = fs::status(options.path + suffix, unreadable);
        return fs::exists(status) && !fs::is_regular_file(status);
      });
  auto opened = is_odd ? Result<std::unique_ptr<store::Database>>(
                             Error::data_loss("what is in its place is no file"))
                       : store::Database::open(loop, options);
  if (opened || opened.error().code() != Code::data_loss) {
    return opened;
  }
  // One is kept: the newest.
  const std::string aside = options.path + ".damaged";
  log_error(what, {{"to", aside}, {"error", opened.error().to_string()}});
  for (const char* suffix : suffixes) {
    std::error_code error;
    fs::remove_all(aside + suffix, error);
    fs::rename(options.path + suffix, aside + suffix, error);
  }
  return store::Database::open(loop, options);
}

}  // namespace

Result<std::unique_ptr<store::Database>> open_log_database(async::Loop& loop,
                                                           const std::string& data) {
  store::DatabaseOptions options;
  options.path = data + "/logs.db";
  options.migrations = logs::migrations();
  options.sync = store::DatabaseOptions::Sync::normal;
  return open_or_begin(loop, options, "the logs cannot be read and are moved away; new ones begin");
}

Result<std::unique_ptr<store::Database>> open_ledger_database(async::Loop& loop,
                                                              const std::string& data) {
  store::DatabaseOptions options;
  options.path = data + "/ledger.db";
  options.migrations = meter::migrations();
  options.readers = 1;
  return open_or_begin(loop, options,
                       "the ledger cannot be read and is moved away; a new one begins");
}

}  // namespace thaw::main_program
