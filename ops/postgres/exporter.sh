#!/bin/sh
# Runs the exporter with the URL from the secret: it takes it from its environment only.
set -eu

DATA_SOURCE_NAME=$(cat /run/secrets/monitor_database_url)
export DATA_SOURCE_NAME
exec /bin/postgres_exporter --collector.long_running_transactions
