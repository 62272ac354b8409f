#!/bin/sh
# Runs the exporter with the URL from the secret. The exporter reads the URL only from its environment.
set -eu

DATA_SOURCE_NAME=$(cat /run/secrets/monitor_database_url)
export DATA_SOURCE_NAME
exec /bin/postgres_exporter --collector.long_running_transactions
