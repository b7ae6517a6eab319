"""What an earlier build says of rows: scores, evidence and edits that need not be made again."""
