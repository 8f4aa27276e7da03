"""Input and output shared by all modules: files, images, PNG, progress bars, threads and processes."""
