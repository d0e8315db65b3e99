// SPDX-License-Identifier: Apache-2.0
#include "thaw/queue/detail/tables.h"

namespace thaw::queue::detail {

namespace {

// A call is finished while none of its inputs is unfinished; one without inputs is, too.
constexpr const char* first = R"sql(
    CREATE TABLE calls (
      id TEXT PRIMARY KEY, workspace TEXT NOT NULL, app TEXT NOT NULL, function TEXT NOT NULL,
      max_retries INTEGER NOT NULL, initial_delay_us INTEGER NOT NULL,
      max_delay_us INTEGER NOT NULL, backoff REAL NOT NULL, parent_input TEXT NOT NULL,
      options BLOB NOT NULL, created_us INTEGER NOT NULL, cancelled INTEGER NOT NULL DEFAULT 0,
      finished_us INTEGER);
    CREATE INDEX calls_unfinished ON calls (id) WHERE finished_us IS NULL;
    CREATE INDEX calls_finished ON calls (finished_us) WHERE finished_us IS NOT NULL;
    CREATE TABLE inputs (
      id TEXT PRIMARY KEY, call TEXT NOT NULL, idx INTEGER NOT NULL, payload BLOB,
      checksum TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
      retries INTEGER NOT NULL DEFAULT 0, enqueued_us INTEGER NOT NULL,
      ended INTEGER NOT NULL DEFAULT 0, UNIQUE (call, idx));
    CREATE INDEX inputs_unfinished ON inputs (call) WHERE ended = 0;
    CREATE TABLE call_log (
      call TEXT NOT NULL, number INTEGER NOT NULL, kind INTEGER NOT NULL, input TEXT NOT NULL,
      idx INTEGER NOT NULL, attempts INTEGER NOT NULL, outcome INTEGER NOT NULL,
      container TEXT NOT NULL, payload BLOB NOT NULL, checksum TEXT NOT NULL,
      PRIMARY KEY (call, number));
  )sql";

// A payload without a content type is of a data folder from before this step. A final entry has a
// failure where failure_type is not null.
constexpr const char* content_types = R"sql(
    ALTER TABLE inputs ADD COLUMN content_type TEXT NOT NULL DEFAULT '';
    ALTER TABLE call_log ADD COLUMN content_type TEXT NOT NULL DEFAULT '';
    ALTER TABLE call_log ADD COLUMN at_us INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE call_log ADD COLUMN failure_type TEXT;
    ALTER TABLE call_log ADD COLUMN failure_message TEXT;
    ALTER TABLE call_log ADD COLUMN failure_trace TEXT;
    ALTER TABLE call_log ADD COLUMN failure_retryable INTEGER;
  )sql";

// An input's started_us is that of its first delivery. `status` and `level` are of status entries
// only, `version` also of final ones.
constexpr const char* times = R"sql(
    ALTER TABLE calls ADD COLUMN origin INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE calls ADD COLUMN log_status INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE inputs ADD COLUMN started_us INTEGER;
    ALTER TABLE call_log ADD COLUMN status INTEGER;
    ALTER TABLE call_log ADD COLUMN version TEXT;
    ALTER TABLE call_log ADD COLUMN level INTEGER;
  )sql";

// The *_for are what the call asked for, and the *_until follow from them when it has ended; null:
// as the queue keeps results.
constexpr const char* limits = R"sql(
    ALTER TABLE calls ADD COLUMN queue_until_us INTEGER;
    ALTER TABLE calls ADD COLUMN end_by_us INTEGER;
    ALTER TABLE calls ADD COLUMN run_for_us INTEGER;
    ALTER TABLE calls ADD COLUMN redeliveries INTEGER;
    ALTER TABLE calls ADD COLUMN payload_for_us INTEGER;
    ALTER TABLE calls ADD COLUMN record_for_us INTEGER;
    ALTER TABLE calls ADD COLUMN payloads_until_us INTEGER;
    ALTER TABLE calls ADD COLUMN record_until_us INTEGER;
    DROP INDEX calls_finished;
    CREATE INDEX calls_kept_as_usual ON calls (finished_us)
      WHERE finished_us IS NOT NULL AND record_for_us IS NULL;
    CREATE INDEX calls_payloads_until ON calls (payloads_until_us)
      WHERE payloads_until_us IS NOT NULL;
    CREATE INDEX calls_record_until ON calls (record_until_us) WHERE record_until_us IS NOT NULL;
  )sql";

constexpr const char* lists = R"sql(
    CREATE INDEX calls_of_workspace ON calls (workspace, created_us, id);
    CREATE INDEX calls_of_function ON calls (function, created_us, id);
    CREATE TABLE call_keys (
      n INTEGER PRIMARY KEY, workspace TEXT NOT NULL, function TEXT NOT NULL, key TEXT NOT NULL,
      fingerprint TEXT NOT NULL, call TEXT NOT NULL, until_us INTEGER NOT NULL,
      UNIQUE (workspace, function, key));
    CREATE INDEX call_keys_until ON call_keys (until_us);
  )sql";

// That a call is pinned to; '': whichever is live.
constexpr const char* versions = R"sql(
    ALTER TABLE calls ADD COLUMN version TEXT NOT NULL DEFAULT '';
)sql";

// `due_us`: when the entry behind `cursor` may be told; null: there is none yet. `until_us`: when
// it is given up; null while the call goes on. `failures`: tries of that entry. States are those of
// CallbackState.
constexpr const char* callbacks = R"sql(
    CREATE TABLE callbacks (
      n INTEGER PRIMARY KEY, call TEXT NOT NULL, ordinal INTEGER NOT NULL,
      workspace TEXT NOT NULL, receiver TEXT NOT NULL, sink TEXT NOT NULL,
      wants INTEGER NOT NULL, try_for_us INTEGER NOT NULL, dialect TEXT NOT NULL,
      options BLOB NOT NULL, cursor INTEGER NOT NULL DEFAULT 0, state INTEGER NOT NULL DEFAULT 0,
      told INTEGER NOT NULL DEFAULT 0, tries INTEGER NOT NULL DEFAULT 0,
      failures INTEGER NOT NULL DEFAULT 0, due_us INTEGER, until_us INTEGER,
      why TEXT NOT NULL DEFAULT '', UNIQUE (call, ordinal));
    CREATE INDEX callbacks_due ON callbacks (workspace, receiver, due_us)
      WHERE state = 0 AND due_us IS NOT NULL;
    CREATE INDEX callbacks_pending ON callbacks (workspace, receiver) WHERE state = 0;
    CREATE INDEX callbacks_until ON callbacks (until_us) WHERE state = 0 AND until_us IS NOT NULL;
  )sql";

}  // namespace

std::vector<store::Migration> table_steps() {
  return {{"queue", 1, first},    {"queue", 2, content_types}, {"queue", 3, times},
          {"queue", 4, limits},   {"queue", 5, lists},         {"queue", 6, versions},
          {"queue", 7, callbacks}};
}

}  // namespace thaw::queue::detail
