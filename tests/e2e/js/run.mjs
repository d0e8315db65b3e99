// SPDX-License-Identifier: Apache-2.0
// node run.mjs FILE NAME FACTS: one exported function of a file here, with a client of the
// environment's settings and what the test says in JSON.
import { ModalClient } from "modal";

const [file, name, facts] = process.argv.slice(2);
const programs = await import(`./${file}.mjs`);
const client = new ModalClient();
await programs[name](client, JSON.parse(facts));
client.close();
