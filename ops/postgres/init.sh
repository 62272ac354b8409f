#!/bin/sh
# Initialises an empty server. Each service gets a database, a role that owns the schema, and two
# serving roles. The service uses one of the two, so that the password of the other can be replaced.
#
# Names and passwords come from the URLs in the secrets, postgres://ROLE:PASSWORD@HOST/DATABASE. The
# serving role is SERVICE_a or SERVICE_b. rotate-password sets the password of the second one.
set -eu

secrets=${SECRETS_FOLDER:-/run/secrets}

# The role (1), the password (2) or the database (3) of the URL in a secret.
part() {
    sed -nE "s|^[a-z]+://([^:/@]+):([^@]+)@[^/]+/([^?]+).*$|\\$1|p" "$secrets/$2"
}

for service in user follower message; do
    owner=$(part 1 "${service}_owner_url")
    OWNER_PASSWORD=$(part 2 "${service}_owner_url")
    database=$(part 3 "${service}_owner_url")
    serving=$(part 1 "${service}_database_url")
    SERVING_PASSWORD=$(part 2 "${service}_database_url")
    case $serving in
    "${service}_a" | "${service}_b") ;;
    *)
        echo "${service}_database_url: the role is $serving, not ${service}_a or ${service}_b" >&2
        exit 1
        ;;
    esac
    # Passwords are passed in the environment, because all users of a machine can read command lines.
    export OWNER_PASSWORD SERVING_PASSWORD
    psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" \
        --dbname postgres --set owner="$owner" --set database="$database" \
        --set group="${service}_serving" --set serving="$serving" \
        --set a="${service}_a" --set b="${service}_b" <<'SQL'
\getenv owner_password OWNER_PASSWORD
\getenv serving_password SERVING_PASSWORD
CREATE ROLE :"owner" LOGIN PASSWORD :'owner_password';
CREATE ROLE :"group" NOLOGIN;
CREATE ROLE :"a" LOGIN IN ROLE :"group";
CREATE ROLE :"b" LOGIN IN ROLE :"group";
ALTER ROLE :"serving" PASSWORD :'serving_password';
CREATE DATABASE :"database" OWNER :"owner";
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"database" TO :"group";
\connect :"database"
ALTER SCHEMA public OWNER TO :"owner";
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO :"group";
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO :"group";
SQL
done

# The role of the monitoring, which can read statistics but no rows.
if [ -f "$secrets/monitor_database_url" ]; then
    monitor=$(part 1 monitor_database_url)
    MONITOR_PASSWORD=$(part 2 monitor_database_url)
    export MONITOR_PASSWORD
    psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" \
        --dbname postgres --set monitor="$monitor" <<'SQL'
\getenv password MONITOR_PASSWORD
CREATE ROLE :"monitor" LOGIN PASSWORD :'password' IN ROLE pg_monitor;
SQL
fi
