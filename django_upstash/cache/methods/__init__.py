"""The cache's public methods, written out by family: each runs one operation, or one method of the client."""
