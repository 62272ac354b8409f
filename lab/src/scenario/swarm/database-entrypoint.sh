#!/bin/sh
# The entrypoint of PostgreSQL's image. As in the official image, it fills a new volume, runs the scripts of
# /docker-entrypoint-initdb.d against a server that listens only on its own socket, and then runs the command
# as an ordinary user.
set -eu

if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA" /var/run/postgresql
    chown -R postgres "$PGDATA" /var/run/postgresql
    chmod 700 "$PGDATA"
    # The secrets are root's, and the scripts read them.
    exec setpriv --reuid postgres --regid postgres --clear-groups sh "$0" "$@"
fi

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    # shellcheck disable=SC2086 # several arguments
    initdb --username postgres --pwfile "$POSTGRES_PASSWORD_FILE" --encoding UTF8 --locale C \
        --auth-local trust --auth-host scram-sha-256 ${POSTGRES_INITDB_ARGS:-}
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
    pg_ctl --wait --options "-c listen_addresses=''" start
    for script in /docker-entrypoint-initdb.d/*.sh; do
        sh "$script"
    done
    pg_ctl --wait --mode fast stop
fi

exec "$@" -c 'listen_addresses=*'
