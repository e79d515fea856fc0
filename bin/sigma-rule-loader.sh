#!/usr/bin/env bash
# Writes rules to the rules topic, with the arguments that scripts of Confluent Sigma use:
#   sigma-rule-loader.sh [-c PROPERTIES] [-bootStrapServer HOST:PORT] [-topic TOPIC] (-f FILE | -d DIR)...
# Broker and topic come from the properties file where they are not given; sigmill looks for the file
# where it is not named. Long options may be written with one or two dashes. The exit status is that of
# `sigmill rules load`: not 0 if a rule failed.
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/find-sigmill.sh"

if [ $# -eq 0 ]; then
    echo "usage: $(basename "$0") [-c sigma.properties] [-bootStrapServer S] [-topic T] (-f rule.yml | -d dir)..." >&2
    exit 1
fi
exec "$SIGMILL" rules load "$@"
