-- SPDX-License-Identifier: Apache-2.0
-- DATA/logs.db of the release whose callers spoke SQL, as it was made then: never changed.
PRAGMA application_id = 1414021463;
PRAGMA journal_mode = WAL;
CREATE TABLE migrations (owner TEXT NOT NULL, version INTEGER NOT NULL, applied_us INTEGER NOT
NULL, PRIMARY KEY (owner, version));
CREATE TABLE streams ( id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, last_number INTEGER NOT
NULL, ended INTEGER NOT NULL, bytes INTEGER NOT NULL);
CREATE TABLE lines ( stream INTEGER NOT NULL, number INTEGER NOT NULL, time_us INTEGER NOT NULL,
channel INTEGER NOT NULL, container TEXT NOT NULL, function TEXT NOT NULL, call TEXT NOT NULL,
input TEXT NOT NULL, text TEXT NOT NULL, PRIMARY KEY (stream, number)) WITHOUT ROWID;
CREATE TABLE set_aside (n INTEGER PRIMARY KEY, origin TEXT NOT NULL, object TEXT NOT NULL, reason
TEXT NOT NULL, at_us INTEGER NOT NULL, content TEXT NOT NULL);
CREATE TABLE commits (one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER NOT NULL);
INSERT INTO migrations VALUES ('logs', 1, 1796071855770852);
INSERT INTO migrations VALUES ('store', 1, 1796071855770852);
INSERT INTO commits (one, number) VALUES (1, 0);
INSERT INTO streams (id, name, last_number, ended, bytes) VALUES (1, 'ap-1', 2, 0, 153);
INSERT INTO streams (id, name, last_number, ended, bytes) VALUES (2, 'ended', 0, 1, 0);
INSERT INTO lines (stream, number, time_us, channel, container, function, call, input, text)
  VALUES (1, 1, 1796071856000000, 1, 'ta-1', '', '', '', 'first' || char(10));
INSERT INTO lines (stream, number, time_us, channel, container, function, call, input, text)
  VALUES (1, 2, 1796071856000001, 2, '', 'fu-1', '', '', 'it''s second' || char(10));
