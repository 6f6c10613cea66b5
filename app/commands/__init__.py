"""The operator's command line, `python -m app`: one module per group of commands."""
