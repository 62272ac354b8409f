#!/bin/sh
# Installs the Debian packages that are given as arguments. Root must run it.
set -eu
export DEBIAN_FRONTEND=noninteractive
# The package of a service starts the service, which then holds a port. The tests start their own
# servers, so this policy forbids the start. An existing policy of the machine is kept.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
apt-get update
apt-get install --yes --no-install-recommends "$@"
