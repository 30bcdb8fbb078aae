"""Shift watches: ``counting`` says how many calls of a period lie beyond a limit, ``baseline`` what is usual."""
