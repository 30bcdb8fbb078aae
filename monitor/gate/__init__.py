"""``anchorwatch gate`` around its decision: ``asking`` gets the candidate's answers, ``base`` those that they are compared
with."""
