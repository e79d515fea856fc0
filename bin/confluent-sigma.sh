#!/usr/bin/env bash
# Starts the processor, under the name and with the argument that scripts of Confluent Sigma use:
#   confluent-sigma.sh [PROPERTIES-FILE]   the file; without one sigmill looks for it, or asks
#   confluent-sigma.sh -i                  asks for what is missing
# Other options are those of `sigmill run`. The exit status is that of sigmill: not 0 if it cannot start.
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/find-sigmill.sh"

case "${1:-}" in
-i)
    shift
    exec "$SIGMILL" run --interactive "$@"
    ;;
"" | -*) ;;
*) [ -f "$1" ] || die "no such properties file: $1" ;;
esac
exec "$SIGMILL" run "$@"
