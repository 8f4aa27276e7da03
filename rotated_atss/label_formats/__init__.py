"""Label formats of oriented boxes: read, recognize, convert and write them."""
