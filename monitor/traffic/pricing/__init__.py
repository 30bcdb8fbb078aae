"""What a call cost, and how sure that is: the operator's prices and the ``price_list`` in one ``book``, as ``rates``."""
