#!/bin/sh
# Starts Valkey as the image's own entry point would, with the password of a secret. The server reads that from standard
# input, so that no list of processes shows it.
set -eu
exec docker-entrypoint.sh valkey-server - "$@" <<SETTINGS
requirepass "$(cat "${SECRETS:-/run/secrets}/redis_password")"
SETTINGS
