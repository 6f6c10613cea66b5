"""One module per vendor, named like its adapter: `SAYS`, its errors in its words, and `routes(desk)`, its paths."""
