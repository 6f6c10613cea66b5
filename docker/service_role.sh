#!/bin/sh
# Makes the role that the service connects as, when the database is new. It owns nothing; the migration grants it what the
# service needs. psql reads the password by a command of its own, so that no list of processes shows it.
set -eu
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
\set password `cat "${SECRETS:-/run/secrets}/service_password"`
CREATE ROLE whodrew_service LOGIN PASSWORD :'password';
SQL
