"""General input and output: files, images, PNG, processes and threads."""
