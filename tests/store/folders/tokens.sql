-- SPDX-License-Identifier: Apache-2.0
-- Rows of DATA/thaw.db of the release whose tokens could do everything, as they were made then: never
-- changed. The first secret is "as-of-before-scopes"; the second token is damaged.
INSERT INTO catalog_objects (kind, id, json, bytes, updated_us) VALUES ('token',
'ak-0123456789abcdefABCDEF', '{"created_us":1796071855781000,"id":"ak-0123456789abcdefABCDEF",' ||
'"name":"thaw env","secret_sha256":' ||
'"8b5a7d4de46c9252369ae85442fe406d646a60f59a69e4f9ebdd94c90bfb9837",' ||
'"workspace":"ac-default"}', x'', 1796071855781000);
INSERT INTO catalog_objects (kind, id, json, bytes, updated_us) VALUES ('token',
'ak-damaged', '{"created_us":1796071855781000,"id":"ak-damaged","name":"thaw e', x'',
1796071855781000);
