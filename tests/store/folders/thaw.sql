-- SPDX-License-Identifier: Apache-2.0
-- DATA/thaw.db of the release whose callers spoke SQL, as it was made then: never changed.
PRAGMA application_id = 1414021463;
PRAGMA journal_mode = WAL;
CREATE TABLE migrations (owner TEXT NOT NULL, version INTEGER NOT NULL, applied_us INTEGER NOT
NULL, PRIMARY KEY (owner, version));
CREATE TABLE catalog_objects(kind TEXT NOT NULL, id TEXT NOT NULL, json TEXT NOT NULL, bytes BLOB
NOT NULL, updated_us INTEGER NOT NULL, PRIMARY KEY(kind, id)) WITHOUT ROWID;
CREATE TABLE secret_key(one INTEGER PRIMARY KEY CHECK (one = 1), fingerprint TEXT NOT NULL);
CREATE TABLE calls ( id TEXT PRIMARY KEY, workspace TEXT NOT NULL, app TEXT NOT NULL, function
TEXT NOT NULL, max_retries INTEGER NOT NULL, initial_delay_us INTEGER NOT NULL, max_delay_us
INTEGER NOT NULL, backoff REAL NOT NULL, parent_input TEXT NOT NULL, options BLOB NOT NULL,
created_us INTEGER NOT NULL, cancelled INTEGER NOT NULL DEFAULT 0, finished_us INTEGER, origin
INTEGER NOT NULL DEFAULT 0, log_status INTEGER NOT NULL DEFAULT 0, queue_until_us INTEGER,
end_by_us INTEGER, run_for_us INTEGER, redeliveries INTEGER, payload_for_us INTEGER, record_for_us
INTEGER, payloads_until_us INTEGER, record_until_us INTEGER, version TEXT NOT NULL DEFAULT '');
CREATE INDEX calls_unfinished ON calls (id) WHERE finished_us IS NULL;
CREATE TABLE inputs ( id TEXT PRIMARY KEY, call TEXT NOT NULL, idx INTEGER NOT NULL, payload BLOB,
checksum TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, retries INTEGER NOT NULL DEFAULT 0,
enqueued_us INTEGER NOT NULL, ended INTEGER NOT NULL DEFAULT 0, content_type TEXT NOT NULL DEFAULT
'', started_us INTEGER, UNIQUE (call, idx));
CREATE INDEX inputs_unfinished ON inputs (call) WHERE ended = 0;
CREATE TABLE call_log ( call TEXT NOT NULL, number INTEGER NOT NULL, kind INTEGER NOT NULL, input
TEXT NOT NULL, idx INTEGER NOT NULL, attempts INTEGER NOT NULL, outcome INTEGER NOT NULL,
container TEXT NOT NULL, payload BLOB NOT NULL, checksum TEXT NOT NULL, content_type TEXT NOT NULL
DEFAULT '', at_us INTEGER NOT NULL DEFAULT 0, failure_type TEXT, failure_message TEXT,
failure_trace TEXT, failure_retryable INTEGER, status INTEGER, version TEXT, level INTEGER,
PRIMARY KEY (call, number));
CREATE INDEX calls_kept_as_usual ON calls (finished_us) WHERE finished_us IS NOT NULL AND
record_for_us IS NULL;
CREATE INDEX calls_payloads_until ON calls (payloads_until_us) WHERE payloads_until_us IS NOT
NULL;
CREATE INDEX calls_record_until ON calls (record_until_us) WHERE record_until_us IS NOT NULL;
CREATE INDEX calls_of_workspace ON calls (workspace, created_us, id);
CREATE INDEX calls_of_function ON calls (function, created_us, id);
CREATE TABLE call_keys ( n INTEGER PRIMARY KEY, workspace TEXT NOT NULL, function TEXT NOT NULL,
key TEXT NOT NULL, fingerprint TEXT NOT NULL, call TEXT NOT NULL, until_us INTEGER NOT NULL,
UNIQUE (workspace, function, key));
CREATE INDEX call_keys_until ON call_keys (until_us);
CREATE TABLE callbacks ( n INTEGER PRIMARY KEY, call TEXT NOT NULL, ordinal INTEGER NOT NULL,
workspace TEXT NOT NULL, receiver TEXT NOT NULL, sink TEXT NOT NULL, wants INTEGER NOT NULL,
try_for_us INTEGER NOT NULL, dialect TEXT NOT NULL, options BLOB NOT NULL, cursor INTEGER NOT NULL
DEFAULT 0, state INTEGER NOT NULL DEFAULT 0, told INTEGER NOT NULL DEFAULT 0, tries INTEGER NOT
NULL DEFAULT 0, failures INTEGER NOT NULL DEFAULT 0, due_us INTEGER, until_us INTEGER, why TEXT
NOT NULL DEFAULT '', UNIQUE (call, ordinal));
CREATE INDEX callbacks_due ON callbacks (workspace, receiver, due_us) WHERE state = 0 AND due_us
IS NOT NULL;
CREATE INDEX callbacks_pending ON callbacks (workspace, receiver) WHERE state = 0;
CREATE INDEX callbacks_until ON callbacks (until_us) WHERE state = 0 AND until_us IS NOT NULL;
CREATE TABLE blob_owners(owner TEXT NOT NULL, sha256 BLOB NOT NULL, bytes INTEGER NOT NULL,
PRIMARY KEY(owner, sha256)) WITHOUT ROWID;
CREATE TABLE measurement (kind TEXT NOT NULL, id TEXT NOT NULL, record TEXT NOT NULL, PRIMARY KEY
(kind, id)) WITHOUT ROWID;
CREATE TABLE set_aside (n INTEGER PRIMARY KEY, origin TEXT NOT NULL, object TEXT NOT NULL, reason
TEXT NOT NULL, at_us INTEGER NOT NULL, content TEXT NOT NULL);
CREATE TABLE commits (one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER NOT NULL);
INSERT INTO migrations VALUES ('catalog', 1, 1796071855770852);
INSERT INTO migrations VALUES ('catalog', 2, 1796071855770852);
INSERT INTO migrations VALUES ('queue', 1, 1796071855770852);
INSERT INTO migrations VALUES ('queue', 2, 1796071855770852);
INSERT INTO migrations VALUES ('queue', 3, 1796071855770852);
INSERT INTO migrations VALUES ('queue', 4, 1796071855770852);
INSERT INTO migrations VALUES ('queue', 5, 1796071855770852);
INSERT INTO migrations VALUES ('queue', 6, 1796071855770852);
INSERT INTO migrations VALUES ('queue', 7, 1796071855770852);
INSERT INTO migrations VALUES ('blobs', 1, 1796071855770852);
INSERT INTO migrations VALUES ('control', 1, 1796071855770852);
INSERT INTO migrations VALUES ('store', 1, 1796071855770852);
INSERT INTO catalog_objects (kind, id, json, bytes, updated_us) VALUES ('environment', 'en-1',
  '{"created_us":1796071856188357,"id":"en-1","name":"main","workspace":"ac-default"}', x'',
  1796071856188406);
INSERT INTO catalog_objects (kind, id, json, bytes, updated_us) VALUES ('workspace', 'ac-default',
  '{"id":"ac-default","name":"thaw"}', x'', 1796071856185941);
INSERT INTO secret_key (one, fingerprint) VALUES (1, '79caa1a06c3ec76b64527db62eff0269');
INSERT INTO commits (one, number) VALUES (1, 5);
INSERT INTO blob_owners (owner, sha256, bytes) VALUES ('ac-default',
  x'fa2c8cc4f28176bbeed4b736df569a34c79cd3723e9ec42f9674b4d46ac6b8b8', 4);
INSERT INTO measurement (kind, id, record) VALUES ('version', 'v1',
  '{"0":{"memory":52428800,"starts":1,"time_ns":400000000}}');
INSERT INTO calls (id, workspace, app, function, max_retries, initial_delay_us, max_delay_us,
  backoff, parent_input, options, created_us, cancelled, finished_us, origin, log_status,
  queue_until_us, end_by_us, run_for_us, redeliveries, payload_for_us, record_for_us,
  payloads_until_us, record_until_us, version) VALUES ('fc-done', 'ac-default', 'ap-1', 'fu-1', 0,
  1000000, 60000000, 2.0, '', x'322034', 1796071856000000, 0, 1796071861000000, 2, 1, NULL, NULL,
  30000000, 2, 3600000000, 7200000000, 1796075461000000, 1796079061000000, 'v1');
INSERT INTO calls (id, workspace, app, function, max_retries, initial_delay_us, max_delay_us,
  backoff, parent_input, options, created_us, cancelled, finished_us, origin, log_status,
  queue_until_us, end_by_us, run_for_us, redeliveries, payload_for_us, record_for_us,
  payloads_until_us, record_until_us, version) VALUES ('fc-open', 'ac-default', 'ap-1', 'fu-1', 3,
  1000, 2000000, 1.5, 'in-parent', x'', 1796071856000001, 0, NULL, 1, 0, NULL, NULL, NULL, NULL,
  NULL, NULL, NULL, NULL, '');
INSERT INTO calls (id, workspace, app, function, max_retries, initial_delay_us, max_delay_us,
  backoff, parent_input, options, created_us, cancelled, finished_us, origin, log_status,
  queue_until_us, end_by_us, run_for_us, redeliveries, payload_for_us, record_for_us,
  payloads_until_us, record_until_us, version) VALUES ('fc-cancelled', 'ac-default', 'ap-1',
  'fu-2', 0, 1000000, 60000000, 2.0, '', x'', 1796071856000002, 1, NULL, 0, 0, NULL, NULL, NULL,
  NULL, NULL, NULL, NULL, NULL, '');
INSERT INTO inputs (id, call, idx, payload, checksum, attempts, retries, enqueued_us, ended,
  content_type, started_us) VALUES ('in-1', 'fc-done', 0, NULL, 'ca978112ca1bbdca', 1, 0,
  1796071856000000, 1, '', 1796071857000000);
INSERT INTO inputs (id, call, idx, payload, checksum, attempts, retries, enqueued_us, ended,
  content_type, started_us) VALUES ('in-2', 'fc-done', 1, NULL, '3e23e8160039594a', 1, 0,
  1796071856000000, 1, '', 1796071858000000);
INSERT INTO inputs (id, call, idx, payload, checksum, attempts, retries, enqueued_us, ended,
  content_type, started_us) VALUES ('in-3', 'fc-open', 0, x'63', '8b44ca7c004728e3', 1, 0,
  1796071856000000, 0, 'text/plain', 1796071859000000);
INSERT INTO inputs (id, call, idx, payload, checksum, attempts, retries, enqueued_us, ended,
  content_type, started_us) VALUES ('in-4', 'fc-open', 1, x'64', '18ac3e7343f01689', 0, 0,
  1796071856000000, 0, '', NULL);
INSERT INTO inputs (id, call, idx, payload, checksum, attempts, retries, enqueued_us, ended,
  content_type, started_us) VALUES ('in-5', 'fc-cancelled', 0, x'65', '3f79bb7b435b0532', 0, 0,
  1796071856000000, 0, '', NULL);
INSERT INTO call_log (call, number, kind, input, idx, attempts, outcome, container, payload,
  checksum, content_type, at_us, failure_type, failure_message, failure_trace, failure_retryable,
  status, version, level) VALUES ('fc-done', 1, 4, 'in-1', 0, 1, 0, 'ta-1', x'',
  'e3b0c44298fc1c14', '', 1796071857000000, NULL, NULL, NULL, NULL, 1, 'v1', 2);
INSERT INTO call_log (call, number, kind, input, idx, attempts, outcome, container, payload,
  checksum, content_type, at_us, failure_type, failure_message, failure_trace, failure_retryable,
  status, version, level) VALUES ('fc-done', 2, 1, 'in-1', 0, 1, 0, 'ta-1', x'7069656365',
  'c7369dd064fe59cc', 'text/plain', 1796071858000000, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO call_log (call, number, kind, input, idx, attempts, outcome, container, payload,
  checksum, content_type, at_us, failure_type, failure_message, failure_trace, failure_retryable,
  status, version, level) VALUES ('fc-done', 3, 5, 'in-1', 0, 1, 0, 'ta-1', x'726573756c74',
  'f6a214f7a5fcda0c', '', 1796071859000000, NULL, NULL, NULL, NULL, NULL, 'v1', NULL);
INSERT INTO call_log (call, number, kind, input, idx, attempts, outcome, container, payload,
  checksum, content_type, at_us, failure_type, failure_message, failure_trace, failure_retryable,
  status, version, level) VALUES ('fc-done', 4, 5, 'in-2', 1, 1, 1, 'ta-1', x'',
  '4ddd25a3fcc50c56', '', 1796071861000000, 'ValueError', 'it broke', 'line 1', 1, NULL, 'v1',
  NULL);
INSERT INTO call_keys (n, workspace, function, key, fingerprint, call, until_us) VALUES (1,
  'ac-default', 'fu-1', 'once', 'print', 'fc-open', 4102444800000000);
INSERT INTO callbacks (n, call, ordinal, workspace, receiver, sink, wants, try_for_us, dialect,
  options, cursor, state, told, tries, failures, due_us, until_us, why) VALUES (1, 'fc-done', 0,
  'ac-default', 'http://hooks:80', 'http://hooks/done', 7, 60000000, 'native', x'', 4, 1, 3, 3, 0,
  NULL, 4102444800000000, '');
INSERT INTO callbacks (n, call, ordinal, workspace, receiver, sink, wants, try_for_us, dialect,
  options, cursor, state, told, tries, failures, due_us, until_us, why) VALUES (2, 'fc-open', 0,
  'ac-default', 'http://hooks:80', 'http://hooks/open', 4, 60000000, 'native', x'6f7074', 0, 0, 0,
  1, 0, NULL, NULL, 'it was away');
