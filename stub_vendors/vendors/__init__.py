"""One module per vendor, named like its adapter: `ERRORS`, its errors, and `routes(stub)`, its paths."""
