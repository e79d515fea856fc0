# Sourced by the launchers: finds the sigmill binary and sets SIGMILL to it, unless it is set.

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
