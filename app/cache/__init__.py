"""What is computed once and used by later jobs: cache keys, results, generated images, decoded files, pipelines."""
