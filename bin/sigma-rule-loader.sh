#!/usr/bin/env bash
# Writes rules to the rules topic, with the arguments that scripts of Confluent Sigma use:
#   sigma-rule-loader.sh [-c PROPERTIES] [-bootStrapServer HOST:PORT] [-topic TOPIC] (-f FILE | -d DIR)...
# Broker and topic come from the properties file where they are not given. All flags may be written
# with one or two dashes. The exit status is that of `sigmill rules load`: not 0 if a rule failed.
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/find-sigmill.sh"

usage() {
    echo "usage: $(basename "$0") [-c sigma.properties] [-bootStrapServer S] [-topic T] (-f rule.yml | -d dir)..." >&2
    exit 3
}

[ $# -gt 0 ] || usage
properties=""
arguments=()
has_rules=""
while [ $# -gt 0 ]; do
    flag="${1#-}"
    case "${flag#-}" in
    h | help | \?) usage ;;
    esac
    [ $# -ge 2 ] || usage
    case "${flag#-}" in
    c | config) properties="$2" ;;
    f | file)
        arguments+=(--file "$2")
        has_rules=1
        ;;
    d | dir)
        arguments+=(--dir "$2")
        has_rules=1
        ;;
    bootStrapServer | bootstrap-server) arguments+=(--bootstrap-server "$2") ;;
    topic) arguments+=(--topic "$2") ;;
    *)
        echo "unknown option: $1" >&2
        usage
        ;;
    esac
    shift 2
done
[ -n "$has_rules" ] || usage
find_properties "$properties"
[ -z "$SIGMA_PROPS" ] || arguments=(--command-config "$SIGMA_PROPS" "${arguments[@]}")
exec "$SIGMILL" rules load "${arguments[@]}"
