# Sourced by the launchers: finds the sigmill binary and the properties file.
#
# Sets SIGMILL (unless it is set). `find_properties [FILE]` sets SIGMA_PROPS to the first that exists of:
# the argument, $SIGMAPROPS (a file, or a folder with sigma.properties), and sigma.properties in
# ~/.sigma, ~/.config, ~/.confluent and ~/tmp; to nothing if there is none.

script_dir="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)"
echo "Script dir is $script_dir" >&2

die() {
    echo "error: $*" >&2
    exit 3
}

if [ -z "${SIGMILL:-}" ]; then
    for candidate in "$script_dir/sigmill" "$script_dir/../target/release/sigmill"; do
        if [ -x "$candidate" ]; then
            SIGMILL="$candidate"
            break
        fi
    done
    SIGMILL="${SIGMILL:-$(command -v sigmill || true)}"
    [ -n "$SIGMILL" ] || die "no sigmill beside this script or on PATH; set SIGMILL to it"
fi

find_properties() {
    SIGMA_PROPS=""
    if [ -n "${1:-}" ]; then
        [ -f "$1" ] || die "no such properties file: $1"
        SIGMA_PROPS="$1"
    else
        for candidate in "${SIGMAPROPS:-}" "${SIGMAPROPS:+$SIGMAPROPS/sigma.properties}" \
            "${HOME:-}"/{.sigma,.config,.confluent,tmp}/sigma.properties; do
            if [ -n "$candidate" ] && [ -f "$candidate" ]; then
                echo "Found $candidate. Using this for execution" >&2
                SIGMA_PROPS="$candidate"
                break
            fi
        done
    fi
    [ -z "$SIGMA_PROPS" ] || echo "Using properties $SIGMA_PROPS" >&2
}
