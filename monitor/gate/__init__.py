"""``anchorwatch gate`` around its decision: ``asking`` gets the candidate's answers, ``base`` those of what it is
compared with, and ``reports`` writes the files that CI reads."""
