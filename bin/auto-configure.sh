# For scripts that source it, as they did that of Confluent Sigma: exports where the properties file is.
#   SIGMA_PROPS_FILENAME  sigma.properties
#   SIGMA_PROPS           the first that exists of $SIGMAPROPS (a file or a folder) and sigma.properties in
#                         ~/.sigma, ~/.config, ~/.confluent and ~/tmp; empty if there is none
#   SIGMA_PROPS_DIR       its folder, with a slash at the end
# The launchers beside it do without: sigmill looks by itself.

export SIGMA_PROPS_FILENAME="sigma.properties"
export SIGMA_PROPS="" SIGMA_PROPS_DIR=""
for sigma_candidate in "${SIGMAPROPS:-}" "${SIGMAPROPS:+$SIGMAPROPS/$SIGMA_PROPS_FILENAME}" \
    "${HOME:-}"/{.sigma,.config,.confluent,tmp}/"$SIGMA_PROPS_FILENAME"; do
    if [ -n "$sigma_candidate" ] && [ -f "$sigma_candidate" ]; then
        SIGMA_PROPS="$sigma_candidate"
        SIGMA_PROPS_DIR="$(dirname "$sigma_candidate")/"
        break
    fi
done
unset sigma_candidate
[ -n "$SIGMA_PROPS" ]
