#!/bin/sh
# Sets the password of a serving role to the password of the URL on the standard input. Run it in the
# database's container:
#
#   docker exec --interactive CONTAINER rotate-password < new_url
#
# The URL has the role that the service does not use (SERVICE_a or SERVICE_b), so running replicas are
# not affected. The service uses the new role once the URL is the next generation of its secret.
set -eu

read -r url
role=$(printf '%s' "$url" | sed -nE 's|^[a-z]+://([^:/@]+):.*$|\1|p')
PASSWORD=$(printf '%s' "$url" | sed -nE 's|^[a-z]+://[^:/@]+:([^@]+)@.*$|\1|p')
export PASSWORD
case $role in
user_[ab] | follower_[ab] | message_[ab]) ;;
*)
    echo "no serving role in the URL: postgres://SERVICE_a:PASSWORD@… or SERVICE_b" >&2
    exit 1
    ;;
esac

psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" \
    --dbname postgres --set role="$role" <<'SQL'
\getenv password PASSWORD
ALTER ROLE :"role" PASSWORD :'password';
SQL
echo "$role has a new password"
psql --no-psqlrc --username "${POSTGRES_USER:-postgres}" --dbname postgres --set role="$role" <<'SQL'
SELECT count(*) AS "its connections now" FROM pg_stat_activity WHERE usename = :'role';
SQL
