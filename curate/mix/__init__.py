"""What a mixture declares, and the exact integer counts that it comes to."""
