"""What canaries cost, and how runs shrink when the day's money is short."""
