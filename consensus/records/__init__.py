"""What is said: transactions, headers and blocks, work, votes. Frozen records without behaviour beyond their digests."""
