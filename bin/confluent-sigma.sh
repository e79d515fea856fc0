#!/usr/bin/env bash
# Starts the processor, under the name and with the argument that scripts of Confluent Sigma use:
#   confluent-sigma.sh [PROPERTIES-FILE]
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/find-sigmill.sh"

case "${1:-}" in
-i) die "there is no interactive mode: copy config/sigma.properties and name the file" ;;
-h | --help)
    echo "usage: confluent-sigma.sh [PROPERTIES-FILE]"
    exit 0
    ;;
esac
find_properties "${1:-}"
[ -n "$SIGMA_PROPS" ] || die "no properties file: name one, or put it into ~/.sigma/sigma.properties"
exec "$SIGMILL" run "$SIGMA_PROPS"
