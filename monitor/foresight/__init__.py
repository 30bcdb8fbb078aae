"""What an operator may expect of a baseline: the smallest change it sees, false pages, delays."""
