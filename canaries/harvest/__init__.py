"""A suite proposed from what production asks: requests to clusters, picks, and canaries without personal data.

exchange > near-duplicate > cluster > pick > redacted canary with expectations > what a person accepts. Nothing in here
reads or writes a file, and the same requests and seed give the same proposal.
"""
