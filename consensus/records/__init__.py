"""What is said: transactions, headers and blocks, work, votes. Frozen records, no behaviour beyond their digests."""
