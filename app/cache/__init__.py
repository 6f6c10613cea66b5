"""What is computed once: keys, results, generated images, decoded files, and the pipeline that made them."""
