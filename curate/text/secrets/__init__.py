"""Finding secrets and personal data: addresses, telephone numbers, IPs, keys, cards and accounts."""
