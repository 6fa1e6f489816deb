"""What a user touches: replay incidents, compare runs, read reports. Importing it costs nothing."""
