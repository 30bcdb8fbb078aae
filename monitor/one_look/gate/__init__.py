"""``anchorwatch gate`` around its decision: who asks the candidate, and what it is compared with.

``asking`` makes the candidate's runs within the money, ``base`` reads those of a stored baseline or of a file.
"""
