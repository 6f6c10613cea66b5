"""Jobs: accepting, ending, canceling, deleting and expiring them, and the SQL below that."""
