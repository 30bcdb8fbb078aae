"""Watches over windows: what an operator can ask for, and what is said of the traffic now.

``config`` is one watch and ``sections`` its parts; ``measures`` can be looked at, of the calls that ``match`` or fit
``filters``; ``marking`` takes from each call in passing what watches want to know. ``judging`` says what is so now, by
``measuring`` with the bounds of ``confidence``, or by a module for each other kind: ``budgets``, ``slo``, ``values``,
``served_models``, ``versions``. ``long_looks`` are those over more than a day.
"""
