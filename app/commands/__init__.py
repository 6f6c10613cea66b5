"""The operator's commands, `python -m app GROUP COMMAND`: one module per group; `app.cli` joins them."""
