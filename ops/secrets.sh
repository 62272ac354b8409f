#!/bin/sh
# Generates the suite's secrets as files in a folder. Existing files are kept.
#
#   ops/secrets.sh ops/secrets            only the files, for docker compose
#   ops/secrets.sh --swarm ops/secrets    the files and the secrets of the Swarm, generation 1
#
# The generated certificate is for trials only. For production, put your own `edge_certificate` (the
# chain, then the key) into the folder first. --host sets the host in the URLs of the databases.
set -eu

swarm=no
host=database
while [ $# -gt 0 ]; do
    case $1 in
    --swarm) swarm=yes ;;
    --host)
        host=$2
        shift
        ;;
    *) folder=$1 ;;
    esac
    shift
done
: "${folder:?the folder is missing: secrets.sh [--swarm] [--host NAME] FOLDER}"

mkdir -p "$folder"
umask 022 # the processes do not run as root and must be able to read the files

random() {
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n'
}

make() {
    if [ ! -s "$folder/$1" ]; then
        printf '%s\n' "$2" >"$folder/$1"
        echo "made $1"
    fi
}

make postgres_password "$(random)"
for service in user follower message; do
    make "${service}_owner_url" "postgres://${service}_owner:$(random)@$host:5432/minitwit_$service"
    make "${service}_database_url" "postgres://${service}_a:$(random)@$host:5432/minitwit_$service"
done
make monitor_database_url "postgres://monitor:$(random)@$host:5432/postgres?sslmode=disable"
make cookie_keys "$(random)$(random)$(random)"
# The credentials that the course's simulator sends.
make simulator_credentials 'simulator:super_safe!'
make grafana_password "$(random)"
make alert_webhook_url 'http://127.0.0.1:9/nobody'
if [ ! -s "$folder/edge_certificate" ] && command -v openssl >/dev/null; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
        -subj /CN=localhost -keyout "$folder/.key" -out "$folder/.certificate" 2>/dev/null
    cat "$folder/.certificate" "$folder/.key" >"$folder/edge_certificate"
    rm "$folder/.certificate" "$folder/.key"
    echo 'made edge_certificate, which is self-signed and valid for 30 days'
fi

if [ "$swarm" = yes ]; then
    for file in "$folder"/*; do
        name=minitwit_$(basename "$file")_1
        if ! docker secret inspect "$name" >/dev/null 2>&1; then
            docker secret create "$name" "$file" >/dev/null
            echo "created the Swarm secret $name"
        fi
    done
fi
