-- The role with which KEDA reads how many steps wait and run in each queue (the view queue_steps), and nothing else.
-- Run it once, as the owner of the tables, after the first migration; the password is read from the environment:
--
--   AUTOSCALER_PASSWORD=… psql --set ON_ERROR_STOP=1 --file deploy/autoscaler.sql "$OWNER_URL"

\getenv password AUTOSCALER_PASSWORD
CREATE ROLE whodrew_autoscaler LOGIN PASSWORD :'password' CONNECTION LIMIT 32;
ALTER ROLE whodrew_autoscaler SET default_transaction_read_only = on;
ALTER ROLE whodrew_autoscaler SET statement_timeout = '5s';
GRANT SELECT ON queue_steps TO whodrew_autoscaler;
