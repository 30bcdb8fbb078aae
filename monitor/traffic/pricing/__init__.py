"""What a call cost, and how sure that is: own prices and the ``price_list`` in one ``book``, as ``rates``.

``model_index`` finds a model in the list quickly, whatever it is called.
"""
