#!/usr/bin/env bash
# The other name of sigma-rule-loader.sh:
#   sigma-loader.sh [-f RULE.yml] [-d DIR] -c sigma.properties
set -euo pipefail
exec "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/sigma-rule-loader.sh" "$@"
