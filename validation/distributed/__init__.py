"""Training on several processes or machines, how it scales, and what larger networks would cost."""
