#!/bin/sh
# Installs the Debian packages that are given, as root.
set -eu
export DEBIAN_FRONTEND=noninteractive
# A service's package would start its service, and take a port that is somebody else's: the tests
# start their own. This is Debian's way to say no; what a machine's owner has decided is kept.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
apt-get update
apt-get install --yes --no-install-recommends "$@"
